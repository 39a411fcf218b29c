"""What emulators of tests share: imported by the process of which they are forks."""

import gc

from localcloud.emulator import extensions, motoserver, process

gc.set_threshold(100_000, 20, 20)
motoserver.warm(process.WARMED)
extensions.load()

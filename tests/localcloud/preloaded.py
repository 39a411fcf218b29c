"""What emulators of tests share: imported by the process of which they are forks."""

from localcloud.emulator import extensions, motoserver, process

motoserver.warm(process.WARMED)
extensions.load()

# The image comes before the pipeline that runs in it.
.PHONY: image used-image
image: $(PIPELINE_PYTHON) ## Build the image of image/, push it, and wait for its scan
	$(PIPELINE_PYTHON) build_image.py

used-image: $(PIPELINE_PYTHON)
	$(PIPELINE_PYTHON) build_image.py --if-used

run: used-image

"""Our own checkpoints; torchvision, timm, Keras and Caffe at the border."""

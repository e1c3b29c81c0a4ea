"""Pages, paper and cameras of our own making: the source of training data and of `ecg-trt sample`."""

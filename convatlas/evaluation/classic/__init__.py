"""The pipeline that convolutional networks replaced: a descriptor made by hand, then a learner without layers.

`hog+svm` is a descriptor and a learner by their names in DESCRIPTORS and LEARNERS. A fitted one is a module like any
network, from pixels to scores, saved without a pickle and used without scikit-learn.
"""

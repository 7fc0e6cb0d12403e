"""The papers' own recipes, one function each, with the place where the paper gives it.

What a paper leaves open is said in `source` and chosen as its release, or the paper that it builds on, has it.
Iterations are turned into epochs of ImageNet's 1.28 million pictures or CIFAR's 50,000 (45,000 in ResNet's).
"""

from __future__ import annotations

from convatlas.data.augmentation import Augmentation
from convatlas.training.recipe import Recipe

ALEXNET_CROPS = Augmentation(crop="random", flip=0.5, pca_noise=0.1)
INCEPTION_CROPS = Augmentation(crop="resized", area=(0.08, 1.0), flip=0.5)
CIFAR_CROPS = Augmentation(padding=4, flip=0.5)


def lenet() -> Recipe:
    """LeNet-5: 20 passes, one picture a step there; here SGD in small batches, the rates falling as in the paper.

    LeCun et al. 1998, III.B: global rates 5e-4 (2 passes), 2e-4 (3), 1e-4 (3), 5e-5 (4), 1e-5 after, scaled by a
    diagonal Hessian that this recipe does not estimate.
    """
    return Recipe(
        name="lenet", source="LeCun et al. 1998, III.B; without the diagonal Levenberg-Marquardt scaling",
        epochs=20, batch=16, optimizer="sgd", lr=0.05, momentum=0.0, schedule="step", milestones=(2, 5, 8, 12), gamma=0.45,
    )  # fmt: skip


def alexnet() -> Recipe:
    """AlexNet: batch 128, 0.01 divided by ten when validation stops improving, three times; 90 epochs.

    Krizhevsky et al. 2012, section 5; the update there has the learning rate inside of the momentum.
    """
    return Recipe(
        name="alexnet", source="Krizhevsky et al. 2012, sections 4.1 and 5",
        epochs=90, batch=128, lr=0.01, momentum=0.9, weight_decay=5e-4, schedule="plateau", patience=4, gamma=0.1,
        augmentation=ALEXNET_CROPS,
    )  # fmt: skip


def zfnet() -> Recipe:
    """ZFNet: batch 128, 0.01 and momentum 0.9, annealed by hand on the validation error; 70 epochs.

    Zeiler & Fergus 2014, section 3.
    """
    return Recipe(
        name="zfnet", source="Zeiler & Fergus 2014, section 3; weight decay as AlexNet",
        epochs=70, batch=128, lr=0.01, momentum=0.9, weight_decay=5e-4, schedule="plateau", patience=4,
        augmentation=Augmentation(crop="random", flip=0.5),
    )  # fmt: skip


def nin() -> Recipe:
    """Network in Network: batch 128, lowered by ten when training accuracy stops improving, twice.

    Lin et al. 2014, section 4; the rates are those of the authors' Caffe release.
    """
    return Recipe(
        name="nin", source="Lin et al. 2014, section 4; rates of the authors' release",
        epochs=230, batch=128, lr=0.1, momentum=0.9, weight_decay=1e-4, schedule="step", milestones=(180, 205), gamma=0.1,
        augmentation=CIFAR_CROPS,
    )  # fmt: skip


def vgg() -> Recipe:
    """VGG: batch 256, 0.01 divided by ten on a plateau, three times; 74 epochs; scale jitter 256 to 512.

    Simonyan & Zisserman 2015, section 3.1.
    """
    return Recipe(
        name="vgg", source="Simonyan & Zisserman 2015, section 3.1",
        epochs=74, batch=256, lr=0.01, momentum=0.9, weight_decay=5e-4, schedule="plateau", patience=4,
        augmentation=Augmentation(crop="jitter", short_side=(256, 512), flip=0.5, pca_noise=0.1),
    )  # fmt: skip


def googlenet() -> Recipe:
    """GoogLeNet: momentum 0.9, the rate 4 % lower every 8 epochs, heads weighted 0.3, Polyak averaging.

    Szegedy et al. 2015, sections 5 and 6; batch, first rate and weight decay as BVLC's release: 32, 0.01, 2e-4.
    """
    return Recipe(
        name="googlenet", source="Szegedy et al. 2015, sections 5 and 6; batch, lr, decay of the BVLC release",
        epochs=250, batch=32, lr=0.01, momentum=0.9, weight_decay=2e-4, schedule="exponential", every=8, gamma=0.96,
        aux_loss_weight=0.3, ema=0.9999, augmentation=INCEPTION_CROPS,
    )  # fmt: skip


def bn_inception() -> Recipe:
    """BN-Inception (BN-x5): the rate of Inception times five, decayed six times faster, less augmentation.

    Ioffe & Szegedy 2015, section 4.2.1: 0.0015 for Inception, 0.0075 for BN-x5; dropout removed.
    """
    return Recipe(
        name="bn-inception", source="Ioffe & Szegedy 2015, section 4.2.1 and 4.2.2 (BN-x5); batch 32, momentum 0.9",
        epochs=60, batch=32, lr=0.0075, momentum=0.9, weight_decay=4e-5, schedule="exponential", every=8 / 6, gamma=0.96,
        augmentation=Augmentation(crop="resized", area=(0.25, 1.0), flip=0.5),
    )  # fmt: skip


def inception_v3() -> Recipe:
    """Inception-v3: RMSProp 0.9 with epsilon 1.0, 0.045 falling 6 % every two epochs, label smoothing 0.1, clip 2.

    Szegedy et al. 2016, section 8: 50 workers of batch 32, 100 epochs. The batch here is 32 as one worker had it.
    """
    return Recipe(
        name="inception-v3", source="Szegedy et al. 2016, sections 7 and 8; average and weight decay of the release",
        epochs=100, batch=32, optimizer="rmsprop", lr=0.045, momentum=0.9, decay=0.9, epsilon=1.0, weight_decay=4e-5,
        schedule="exponential", every=2, gamma=0.94, label_smoothing=0.1, clip=2.0, aux_loss_weight=0.4, ema=0.9999,
        augmentation=INCEPTION_CROPS,
    )  # fmt: skip


def inception_v4() -> Recipe:
    """Inception-v4 and Inception-ResNet: RMSProp, decay 0.9, epsilon 1.0, 0.045 falling 6 % every two epochs.

    Szegedy et al. 2017, section 4: 20 workers; the average over time of the weights is evaluated.
    """
    return Recipe(
        name="inception-v4", source="Szegedy et al. 2017, section 4; smoothing and decay as Inception-v3",
        epochs=160, batch=32, optimizer="rmsprop", lr=0.045, momentum=0.9, decay=0.9, epsilon=1.0, weight_decay=4e-5,
        schedule="exponential", every=2, gamma=0.94, label_smoothing=0.1, aux_loss_weight=0.4, ema=0.9999,
        augmentation=INCEPTION_CROPS,
    )  # fmt: skip


def resnet_imagenet() -> Recipe:
    """ResNet on ImageNet: batch 256, 0.1 divided by ten on a plateau, 60e4 iterations; no dropout.

    He et al. 2016, section 3.4: short side in 256..480, a 224 crop, AlexNet's colors.
    """
    return Recipe(
        name="resnet-imagenet", source="He et al. 2016, section 3.4; 60e4 iterations of 256 are 120 epochs",
        epochs=120, batch=256, lr=0.1, momentum=0.9, weight_decay=1e-4, schedule="plateau", patience=5,
        augmentation=Augmentation(crop="jitter", short_side=(256, 480), flip=0.5, pca_noise=0.1),
    )  # fmt: skip


def resnet_cifar() -> Recipe:
    """ResNet on CIFAR-10: batch 128, 0.1, divided by ten at 32k and 48k of 64k iterations; 45k to train on.

    He et al. 2016, section 4.2: 4 pixels of padding, a random crop, a flip.
    """
    return Recipe(
        name="resnet-cifar", source="He et al. 2016, section 4.2; 64k iterations of 128 in 45,000 are 182 epochs",
        epochs=182, batch=128, lr=0.1, momentum=0.9, weight_decay=1e-4, schedule="step", milestones=(91, 136.5),
        augmentation=CIFAR_CROPS, select="last",
    )  # fmt: skip


def resnet110_cifar() -> Recipe:
    """ResNet-110 on CIFAR-10: the same after a warm-up at 0.01, until the training error is below 80 %.

    He et al. 2016, section 4.2: about 400 iterations.
    """
    return Recipe(
        name="resnet110-cifar", source="He et al. 2016, section 4.2; the warm-up rises instead of waiting at 0.01",
        epochs=182, batch=128, lr=0.1, momentum=0.9, weight_decay=1e-4, schedule="step", milestones=(91, 136.5), warmup=1.1,
        augmentation=CIFAR_CROPS, select="last",
    )  # fmt: skip


def stochastic_depth() -> Recipe:
    """ResNet-110 with stochastic depth on CIFAR: 500 epochs, 0.1 divided by ten after half and three quarters.

    Huang et al. 2016, section 4: Nesterov 0.9, batch 128, 5,000 pictures held out to choose by.
    """
    return Recipe(
        name="stochastic-depth", source="Huang et al. 2016, section 4",
        epochs=500, batch=128, optimizer="nesterov", lr=0.1, momentum=0.9, weight_decay=1e-4, schedule="step",
        milestones=(250, 375), holdout=0.1, augmentation=CIFAR_CROPS,
    )  # fmt: skip


def resnext() -> Recipe:
    """ResNeXt on ImageNet: batch 256, 0.1 divided by ten three times, 90 epochs; as fb.resnet.torch.

    Xie et al. 2017, section 5: Inception's crops.
    """
    return Recipe(
        name="resnext", source="Xie et al. 2017, section 5 (implementation details)",
        epochs=90, batch=256, lr=0.1, momentum=0.9, weight_decay=1e-4, schedule="step", milestones=(30, 60, 90),
        augmentation=Augmentation(crop="resized", area=(0.08, 1.0), flip=0.5, brightness=0.4, contrast=0.4, saturation=0.4, pca_noise=0.1),
    )  # fmt: skip


def densenet_imagenet() -> Recipe:
    """DenseNet on ImageNet: 90 epochs, batch 256, 0.1 divided by ten at 30 and 60.

    Huang et al. 2017, section 4.2.
    """
    return Recipe(
        name="densenet-imagenet", source="Huang et al. 2017, section 4.2; pictures as fb.resnet.torch",
        epochs=90, batch=256, optimizer="nesterov", lr=0.1, momentum=0.9, weight_decay=1e-4, schedule="step",
        milestones=(30, 60), augmentation=INCEPTION_CROPS,
    )  # fmt: skip


def densenet_cifar() -> Recipe:
    """DenseNet on CIFAR: batch 64, 300 epochs, 0.1 divided by ten after half and three quarters.

    Huang et al. 2017, section 4.2: Nesterov 0.9, weight decay 1e-4.
    """
    return Recipe(
        name="densenet-cifar", source="Huang et al. 2017, section 4.2",
        epochs=300, batch=64, optimizer="nesterov", lr=0.1, momentum=0.9, weight_decay=1e-4, schedule="step",
        milestones=(150, 225), augmentation=CIFAR_CROPS, select="last",
    )  # fmt: skip


def squeezenet() -> Recipe:
    """SqueezeNet: 0.04 falling in a line, batch 512, 170,000 iterations, weight decay 2e-4.

    Iandola et al. 2016, section 3.1.1, and the solver of the release.
    """
    return Recipe(
        name="squeezenet", source="Iandola et al. 2016, section 3.1.1, and the release's solver.prototxt",
        epochs=68, batch=512, lr=0.04, momentum=0.9, weight_decay=2e-4, schedule="linear",
        augmentation=Augmentation(crop="random", flip=0.5),
    )  # fmt: skip


def xception() -> Recipe:
    """Xception on ImageNet: SGD 0.9, 0.045 falling 6 % every two epochs, weight decay 1e-5, averaged weights.

    Chollet 2017, section 4.3 and 4.4; without label smoothing, which the paper does not name.
    """
    return Recipe(
        name="xception", source="Chollet 2017, sections 4.3 and 4.4",
        epochs=90, batch=256, lr=0.045, momentum=0.9, weight_decay=1e-5, schedule="exponential", every=2, gamma=0.94,
        ema=0.9999, augmentation=INCEPTION_CROPS,
    )  # fmt: skip


def mobilenet_v1() -> Recipe:
    """MobileNet: RMSProp as Inception-v3, less augmentation, hardly any decay on depthwise filters.

    Howard et al. 2017, section 3.2; numbers of the TF-slim release.
    """
    return Recipe(
        name="mobilenet-v1", source="Howard et al. 2017, section 3.2; rates of the TF-slim release",
        epochs=100, batch=96, optimizer="rmsprop", lr=0.045, momentum=0.9, decay=0.9, epsilon=1.0, weight_decay=4e-5,
        schedule="exponential", every=2.5, gamma=0.94, ema=0.9999, no_decay_on_norms_and_biases=True,
        augmentation=Augmentation(crop="resized", area=(0.25, 1.0), flip=0.5),
    )  # fmt: skip


def mobilenet_v2() -> Recipe:
    """MobileNetV2: RMSProp, momentum and decay 0.9, 0.045 times 0.98 an epoch, batch 96, weight decay 4e-5.

    Sandler et al. 2018, section 6.1.
    """
    return Recipe(
        name="mobilenet-v2", source="Sandler et al. 2018, section 6.1",
        epochs=300, batch=96, optimizer="rmsprop", lr=0.045, momentum=0.9, decay=0.9, epsilon=1.0, weight_decay=4e-5,
        schedule="exponential", every=1, gamma=0.98, ema=0.9999, augmentation=INCEPTION_CROPS,
    )  # fmt: skip


def mobilenet_v3() -> Recipe:
    """MobileNetV3: RMSProp 0.9, 0.1, batch 4096, 0.01 every 3 epochs, dropout 0.8 kept, averages 0.9999.

    Howard et al. 2019, section 6.1.1.
    """
    return Recipe(
        name="mobilenet-v3", source="Howard et al. 2019, section 6.1.1: decay rate 0.01 every 3 epochs",
        epochs=600, batch=4096, optimizer="rmsprop", lr=0.1, momentum=0.9, decay=0.9, epsilon=1.0, weight_decay=1e-5,
        schedule="exponential", every=3, gamma=0.99, warmup=5, ema=0.9999, label_smoothing=0.1, augmentation=INCEPTION_CROPS,
    )  # fmt: skip


def shufflenet() -> Recipe:
    """ShuffleNet v1 and v2: 0.5 falling in a line to 0 over 3e5 iterations of 1024, weight decay 4e-5.

    Zhang et al. 2018, section 4, and Ma et al. 2018, section 4; less scale augmentation for small networks.
    """
    return Recipe(
        name="shufflenet", source="Zhang et al. 2018, section 4; Ma et al. 2018, section 4",
        epochs=240, batch=1024, lr=0.5, momentum=0.9, weight_decay=4e-5, schedule="linear", no_decay_on_norms_and_biases=True,
        augmentation=Augmentation(crop="resized", area=(0.25, 1.0), flip=0.5),
    )  # fmt: skip


def senet() -> Recipe:
    """SE networks: batch 1024, 0.6 divided by ten every 30 epochs, 100 epochs, label smoothing as Inception.

    Hu et al. 2018, section 6.1.
    """
    return Recipe(
        name="senet", source="Hu et al. 2018, section 6.1; weight decay 1e-4 as ResNet",
        epochs=100, batch=1024, lr=0.6, momentum=0.9, weight_decay=1e-4, schedule="step", every=30, label_smoothing=0.1,
        augmentation=INCEPTION_CROPS,
    )  # fmt: skip

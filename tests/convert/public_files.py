"""Names and shapes of public checkpoints, by the rules of the code that wrote them."""

from __future__ import annotations

Shapes = dict[str, tuple[int, ...]]

BLOCKS = {
    14: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


def norm(name: str, channels: int) -> Shapes:
    arrays = ("weight", "bias", "running_mean", "running_var")
    return {**{f"{name}.{a}": (channels,) for a in arrays}, f"{name}.num_batches_tracked": ()}


def resnet(depth: int, width: int = 64) -> Shapes:
    """torchvision's ResNet without `fc`: `_make_layer`, `BasicBlock` and `Bottleneck` there."""
    shapes = {"conv1.weight": (width, 3, 7, 7), **norm("bn1", width)}
    inputs = width
    for stage, blocks in enumerate(BLOCKS[depth]):
        inner = width * 2**stage
        sides, outputs = ((3, 3), inner) if depth in (18, 34) else ((1, 3, 1), 4 * inner)
        for block in range(blocks):
            name, channels = f"layer{stage + 1}.{block}", inputs
            for number, side in enumerate(sides, start=1):
                features = outputs if number == len(sides) else inner
                shapes[f"{name}.conv{number}.weight"] = (features, channels, side, side)
                shapes |= norm(f"{name}.bn{number}", features)
                channels = features
            if block == 0 and inputs != outputs:
                shapes[f"{name}.downsample.0.weight"] = (outputs, inputs, 1, 1)
                shapes |= norm(f"{name}.downsample.1", outputs)
            inputs = outputs
    return shapes


def classifier(width: int = 64, classes: int = 1000) -> Shapes:
    """`fc` of torchvision's ResNets."""
    return {"fc.weight": (classes, 32 * width), "fc.bias": (classes,)}


def head(name: str, channels: int, classes: int = 19, convolutions: int = 4) -> Shapes:
    """`Classifier_Module` of AdaptSegNet, ADVENT and the official code."""
    shapes: Shapes = {}
    for index in range(convolutions):
        shapes[f"{name}.conv2d_list.{index}.weight"] = (classes, channels, 3, 3)
        shapes[f"{name}.conv2d_list.{index}.bias"] = (classes,)
    return shapes


def official(depth: int = 101, width: int = 64, classes: int = 19) -> Shapes:
    """`DeeplabMulti`: two heads."""
    heads = head("layer5", 16 * width, classes) | head("layer6", 32 * width, classes)
    return resnet(depth, width) | heads


def prefixed(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


def without_counters(shapes: Shapes) -> Shapes:
    """As PyTorch before 0.4.1 wrote them."""
    return {n: shape for n, shape in shapes.items() if not n.endswith("num_batches_tracked")}

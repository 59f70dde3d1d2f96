"""Which tensors still have their masks when Keras runs a model.

A layer with one input is called with the mask that Keras knew when the graph was made, as far as
that comes from the same model. All others ask their inputs for masks as they run. Now
MultiHeadAttention takes those of its inputs away ("Delete the masks" in
keras/src/layers/attention/multi_head_attention.py), so that whoever asks next finds none.
"""

from seqgen.layers.base import Layer

# Layers that give the very tensor they take, be it at inference only.
HANDING_ON = (
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "StochasticDepth",
)
FORGETTING = "MultiHeadAttention"
Masks = tuple[str | None, ...]


def scope_of(name: str) -> str:
    """The model within that a layer stands in; empty for the outermost."""
    return name.rpartition("/")[0]


class Attached:
    """Follows the calls of a graph in the order in which Keras runs them."""

    def __init__(self) -> None:
        # What lost its mask, and in which of the models within.
        self._lost: dict[str, str] = {}
        # What may be the same tensor as one of those, and may not.
        self._unsure: set[str] = set()
        # What has a mask that comes from another model, of which the graph knows nothing.
        self._late: set[str] = set()
        # The names under which there is a tensor, by each of them.
        self._same: dict[str, set[str]] = {}

    def read(
        self, layer: Layer, name: str, inputs: tuple[str, ...], masks: Masks, bare: bool
    ) -> Masks:
        """The masks that a layer finds, given those that its inputs had when they were made.

        Args:
            layer: The layer.
            name: Of the call.
            inputs: Names of what it reads.
            masks: Names of their masks.
            bare: Whether it is called with one tensor and nothing else.

        Raises:
            SpecError: It cannot be told.
        """
        found, scope = list(masks), scope_of(name)
        for place in layer.masked_inputs(len(inputs)):
            read, mask = inputs[place], masks[place]
            if mask is None or not (read in self._lost or read in self._unsure):
                continue
            if bare and not (read in self._late or scope_of(read) != scope):
                continue
            # Keras may give a model within the masks of its inputs once more.
            outside = not f"{self._lost.get(read, scope)}/".startswith(f"{scope}/" if scope else "")
            if read in self._unsure or outside:
                raise layer.fault(
                    f"whether Keras knows the mask of '{read}' here depends on how it runs the "
                    f"model, as a {FORGETTING} before takes it away; let this one read another "
                    "tensor, or one without a mask"
                )
            found[place] = None
        return tuple(found)

    def called(
        self, layer: Layer, name: str, inputs: tuple[str, ...], bare: bool, makes: bool
    ) -> None:
        """Note what becomes of masks with a call; `makes` says that the layer makes one itself."""
        if len(inputs) == 1 and layer.kind in HANDING_ON:
            group = self._same.setdefault(inputs[0], {inputs[0]})
            group.add(name)
            self._same[name] = group
        if not makes and any(r in self._late or scope_of(r) != scope_of(name) for r in inputs):
            self._late.add(name)
        if not (makes or (bare and layer.uses_mask and name not in self._late)):
            self._hand_down(layer, name, inputs[:1] if layer.mask_of_first else inputs)
        # Query, value and key: what follows them has no mask.
        for read in inputs[:3] if layer.kind == FORGETTING else ():
            self._lost.setdefault(read, scope_of(name))
            self._unsure |= self._same.get(read, {read}) - {read}

    def _hand_down(self, layer: Layer, name: str, sources: tuple[str, ...]) -> None:
        """Note that the result of a layer has the masks that are left of its inputs."""
        lost = [self._lost[read] for read in sources if read in self._lost]
        # A mask of which a part is missing is another one.
        partly = layer.kind == "Concatenate" and 0 < len(lost) < len(sources)
        if partly or self._unsure.intersection(sources):
            self._unsure.add(name)
        elif lost:
            self._lost[name] = lost[0]

"""Cases of what /predict and /adaptations/{id} are asked."""

import json

from tests.refusals.calls import Call, get, post, predict
from tests.refusals.case import accepted, refused, same_bytes, tells
from tests.refusals.pictures import base64_with_plus, url
from tests.refusals.world import SINE, UNKNOWN, World


def odd_ids(world: World) -> list[Call]:
    own = world.sine
    names = (UNKNOWN, "../../etc/passwd", own.upper(), f"{{{own}}}", f"{own}\n", "ad_\0")
    return [predict(adaptation=name, input="1.0", hidden=["passwd"]) for name in names]


PREDICTIONS = [
    refused(
        "B092",
        422,
        "validation",
        lambda w: [get(f"/adaptations/{w.sine}?wait={word}") for word in ("-1", "abc", "1&wait=2")],
    ),
    refused("B095", 404, "not-found", odd_ids, then=same_bytes),
    refused(
        "B102",
        422,
        "validation",
        lambda w: [
            predict(adaptation=w.sine),
            predict(input="1.0"),
            predict(adaptation=w.sine, checkpoint="sinusoid", input="1.0"),
        ],
    ),
    refused(
        "B103",
        422,
        "validation",
        lambda w: [
            predict(adaptation=[w.sine, w.letters], input="1.0"),
            predict(adaptation=w.sine, input="1.0", inputs="1.0"),
        ],
    ),
    accepted("B103-repeated", lambda w: [predict(adaptation=w.sine, input=["1.0", "2.0"])]),
    refused(
        "B104",
        400,
        "invalid-json",
        lambda w: [predict(adaptation=w.sine, input=text) for text in ("abc", "", "NaN")],
    ),
    refused(
        "B105",
        422,
        "validation",
        lambda w: [predict(adaptation=w.sine, input=text) for text in ("1e309", "null", "true")],
    ),
    refused("B106", 422, "validation", lambda w: [predict(adaptation=w.sine, input="3e38")]),
    refused(
        "B107",
        422,
        "shape-mismatch",
        lambda w: [get(f"/predict?adaptation={w.sine}&input=[{'0,' * 4999}0]")],
    ),
    refused(
        "B108",
        422,
        "invalid-image",
        lambda w: [
            get(f"/predict?adaptation={w.letters}&input=data:image/png;base64,{base64_with_plus()}")
        ],
        then=tells("base64url"),
    ),
    refused(
        "B109",
        422,
        "needs-adaptation",
        lambda w: [predict(checkpoint="omniglot-5way-1shot", input=url())],
    ),
    refused(
        "B111",
        413,
        "too-many-examples",
        lambda w: [
            post(
                json.dumps({"adaptation": w.sine, "inputs": [0] * 1_000_000}).encode(),
                path="/predict",
            )
        ],
        within_s=2,
    ),
    refused(
        "B112",
        422,
        "length-mismatch",
        lambda w: [post({"adaptation": w.sine, "inputs": [1, 2], "targets": [1]}, path="/predict")],
    ),
    refused(
        "B113",
        422,
        "validation",
        lambda w: [
            post({"adaptation": w.letters, "inputs": [url()]} | odd, path="/predict")
            for odd in ({"top_k": 0}, {"top_k": -1}, {"top_k": "3"}, {"inputs": []})
        ],
    ),
    refused(
        "B114",
        422,
        "validation",
        lambda w: [get(f"/adaptations/{w.sine}/parameters?format=pickle", hidden=["pickle"])],
        then=tells("safetensors"),
    ),
    refused(
        "B153-names",
        404,
        "not-found",
        lambda w: [
            get(f"/checkpoints/{name}", hidden=["passwd"])
            for name in ("sinusoid:99999999999999999999", "sinusoid:0", "..%2fpasswd", "%ff", "%00")
        ],
    ),
    refused(
        "beyond-checkpoint",
        422,
        "validation",
        lambda w: [
            predict(checkpoint="../../etc/passwd", input="1.0", hidden=["passwd"]),
            post(SINE | {"checkpoint": "sinusoid\n"}, pointer="/checkpoint"),
        ],
    ),
    refused(
        "beyond-inputs",
        413,
        "too-many-examples",
        lambda w: [get(f"/predict?adaptation={w.sine}" + "&input=1" * 3000)],
    ),
    accepted(
        "beyond-top",
        lambda w: [
            post(
                f'{{"adaptation":"{w.letters}","inputs":["{url()}"],"top_k":{"9" * 400}}}'.encode(),
                path="/predict",
            )
        ],
    ),
]

"""KServe's protocols over real models, by value: engine contract, section 2.1."""

from datetime import datetime
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from aiops_assets.errors import SchemaError
from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.families.catalog import MODEL_NAMES
from aiops_assets.families.contract import Asking
from aiops_assets.judging.forecasting.task import FORECASTING
from aiops_assets.learners.detectors import isolation_forest
from aiops_assets.service import answers
from aiops_assets.service.instances import rows_of
from aiops_assets.synthetic.healthy import healthy_rows
from aiops_assets.timeseries.catalog import ENGINE_METRICS
from aiops_assets.timeseries.engine_layouts import ENGINE_VECTOR
from aiops_assets.timeseries.features import ENGINE_DEFAULT
from aiops_assets_tests.raising import raises
from aiops_assets_tests.service.served_home import SPECS, WINDOW_DETECTORS, model_file, window

DEFAULT = [float(value) for value in ENGINE_DEFAULT] * len(ENGINE_METRICS)
FAR = [1e6] * 45
FORECASTERS = [name for name in MODEL_NAMES if SPECS[name].family.task is FORECASTING]


def predict(client: TestClient, name: str, instances: object, key: str = "instances") -> Any:
    return client.post(f"/v1/models/{name}:predict", json={key: instances})


def answered(client: TestClient, name: str, instances: object) -> dict[str, Any]:
    response = predict(client, name, instances)
    assert response.status_code == 200, response.text
    answers.V1Answer.model_validate_json(response.content, strict=True)
    found: dict[str, Any] = response.json()
    assert datetime.fromisoformat(found["timestamp"]).tzinfo is not None
    assert found["model_version"] == "1"
    assert found["data_version"] == "data-of-1"
    assert found["effective_source"] == "synthetic"
    return found


class TestRows:
    def test_the_default_vector_is_normal_and_a_far_one_is_not(self, whole: TestClient) -> None:
        response = predict(whole, "anomaly-detector", [DEFAULT, FAR])
        assert response.json()["predictions"] == [1, -1]
        assert '"predictions":[1,-1]' in response.text  # integers, as Go wants them
        assert response.json()["model_name"] == "anomaly-detector"

    def test_answers_are_those_of_the_stored_pipeline(self, whole: TestClient) -> None:
        rows = np.vstack([healthy_rows(200, seed=3), np.array([DEFAULT, FAR])])
        pipeline = isolation_forest.from_bytes(model_file("anomaly-detector"))
        found = answered(whole, "anomaly-detector", rows.tolist())
        assert found["predictions"] == isolation_forest.predict(pipeline, rows).tolist()
        assert found["scores"] == pytest.approx(isolation_forest.anomaly_score(pipeline, rows), abs=1e-9)

    def test_one_row_and_many_are_answered_alike(self, whole: TestClient) -> None:
        rows = healthy_rows(100, seed=4).tolist()
        together = answered(whole, "anomaly-detector", rows)["scores"]
        assert [answered(whole, "anomaly-detector", [row])["scores"][0] for row in rows[:5]] == together[:5]

    def test_layers_are_no_evidence(self, whole: TestClient) -> None:
        assert answered(whole, "anomaly-detector", [[1, 0, 0], [0.33, 0.33, 0.34]])["predictions"] == [1, 1]

    def test_inputs_stand_for_instances(self, whole: TestClient) -> None:
        assert predict(whole, "anomaly-detector", [DEFAULT], key="inputs").json()["predictions"] == [1]

    @pytest.mark.parametrize("row", [[0.3, 0.4, 0.5, 1e5, 1e5], [0.4] * len(ENGINE_VECTOR)], ids=["5", "3264"])
    def test_forecasts_are_ratios_with_confidence(self, whole: TestClient, row: list[float]) -> None:
        predictions = answered(whole, "predictive-analytics", [row])["predictions"]
        assert set(predictions) == {"cpu_usage", "memory_usage"}
        for said in predictions.values():
            assert said["forecast_horizon"] == len(said["forecast"]) == len(said["confidence"]) == 12
            assert all(0 <= value <= 1 for value in (*said["forecast"], *said["confidence"]))

    def test_a_scenario_and_a_layer_are_answered_with_integers(self, whole: TestClient) -> None:
        scenario = [[10, 0, 0.5, 0.6], [3, 6, 0.5, 0.6], [10, 0, 0.05, 0.91], [10, 0, 0.86, 0.1]]
        assert answered(whole, "predictive-analytics", scenario)["predictions"] == [1, 1, -1, -1]
        assert answered(whole, "predictive-analytics", [[0, 1, 0]])["predictions"] == [1]


class TestWindows:
    @pytest.mark.parametrize("name", WINDOW_DETECTORS)
    def test_a_calm_window_is_normal_and_has_a_score(self, whole: TestClient, name: str) -> None:
        found = answered(whole, name, [window(), window(100)])
        assert found["predictions"] == [1, 1]
        assert len(found["scores"]) == 2

    @pytest.mark.parametrize("name", WINDOW_DETECTORS)
    def test_a_jump_at_the_end_is_an_anomaly(self, whole: TestClient, name: str) -> None:
        jump = window(300)
        jump[-1] = [0.99, 0.99, 8.0, 0.99, 60.0]
        assert answered(whole, name, [jump])["predictions"] == [-1]

    @pytest.mark.parametrize("name", [name for name in FORECASTERS if name != "predictive-analytics"])
    def test_a_window_is_forecast_metric_by_metric(self, whole: TestClient, name: str) -> None:
        rows = [[0.3, 0.4, 0.5, 2e5, 1e5] for _ in range(48)]
        predictions = answered(whole, name, [rows])["predictions"]
        assert set(predictions) == set(SPECS[name].family.features)
        for metric, said in predictions.items():
            assert said["forecast_horizon"] == len(said["forecast"]) == 12
            assert all(0 < sure <= 1 for sure in said["confidence"])
            if metric not in ("network_in", "network_out"):
                assert all(0 <= value <= 1 for value in said["forecast"])

    def test_the_older_name_answers_by_its_own_name(self, whole: TestClient) -> None:
        rows = [[0.3, 0.4, 0.5, 2e5, 1e5] for _ in range(48)]
        older, present = (answered(whole, name, [rows]) for name in ("timeseries-predictor", "arima-predictor"))
        assert (older["model_name"], present["model_name"]) == ("timeseries-predictor", "arima-predictor")
        assert older["predictions"] == present["predictions"]
        of_v2 = infer(whole, "timeseries-predictor", [48, 5], rows).json()
        assert of_v2["model_name"] == "timeseries-predictor"
        for protocol in ("v1", "v2"):
            assert whole.get(f"/{protocol}/models/timeseries-predictor").json()["name"] == "timeseries-predictor"
        assert whole.get("/v2/models/timeseries-predictor/ready").json()["name"] == "timeseries-predictor"

    @pytest.mark.parametrize("name", [name for name in MODEL_NAMES if SPECS[name].family.asking is Asking.WINDOWS])
    def test_a_list_of_rows_is_one_window_in_both_protocols(self, whole: TestClient, name: str) -> None:
        """All that the engine's client can send."""
        rows = window(48)
        alone, nested = (answered(whole, name, sent) for sent in (rows, [rows]))
        assert alone["predictions"] == nested["predictions"]
        assert alone.get("scores") == nested.get("scores")
        assert infer(whole, name, [48, 5], rows).status_code == 200

    def test_rows_of_five_in_percent_are_refused_with_the_cure(self, whole: TestClient) -> None:
        response = predict(whole, "predictive-analytics", [[45.0, 62.0, 71.0, 1e5, 1e5]])
        assert response.status_code == 400
        assert "100" in response.json()["error"]
        noted = answered(whole, "predictive-analytics", [[12.0, 0.62, 0.71, 1e5, 1e5]])
        assert len(noted["notes"]) == 1


REFUSED = {
    "no object": b"[1]",
    "no json": b"{",
    "nan": b'{"instances": [[NaN]]}',
    "no instances": b'{"rows": []}',
    "null": b'{"instances": null}',
    "text": b'{"instances": "rows"}',
    "empty": b'{"instances": []}',
    "empty row": b'{"instances": [[]]}',
    "a row that is null": b'{"instances": [null]}',
    "a value that is null": b'{"instances": [[null, 1, 1]]}',
    "a value that is text": b'{"instances": [["1", 1, 1]]}',
    "a value that is true": b'{"instances": [[true, 1, 1]]}',
    "a value beyond floats": b'{"instances": [[1e400, 1, 1]]}',
    "a value of many digits": b'{"instances": [[' + b"9" * 400 + b", 1, 1]]}",
    "ragged": b'{"instances": [[1, 1, 1], [1, 1]]}',
    "deep": b'{"instances": ' + b"[" * 5000 + b"]" * 5000 + b"}",
}


class TestRefusals:
    @pytest.mark.parametrize("name", MODEL_NAMES)
    @pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
    def test_a_body_that_cannot_be_used_is_a_400_with_a_reason(self, whole: TestClient, name: str, body: bytes) -> None:
        response = whole.post(f"/v1/models/{name}:predict", content=body)
        assert response.status_code == 400
        assert set(response.json()) == {"error"}
        assert len(response.json()["error"]) > 10

    @pytest.mark.parametrize(
        ("name", "widths", "expected"),
        [("anomaly-detector", (45, 3), "45 or 3"), ("predictive-analytics", (3264, 5, 4, 3), "3264, 5, 4 or 3")],
    )
    @pytest.mark.parametrize("width", [1, 2, 6, 44, 46, 3263])
    def test_another_width_is_named_beside_the_expected(
        self, whole: TestClient, name: str, widths: tuple[int, ...], expected: str, width: int
    ) -> None:
        rows = [[0.5] * width]
        with raises(SchemaError, "wrong_width", width=width, expected=widths) as refused:
            rows_of(rows, widths)
        assert predict(whole, name, rows).json() == {"error": str(refused.value)}
        assert expected in str(refused.value)

    @pytest.mark.parametrize("name", ["lstm-predictor", "arima-predictor"])
    def test_a_short_window_and_a_bare_row_are_told_what_a_window_is(self, whole: TestClient, name: str) -> None:
        lookback = whole.get(f"/v1/models/{name}").json()["lookback"]
        wrong: list[object] = [[window(lookback - 1)], window(lookback - 1), window(lookback)[0]]
        for instances in (*wrong, [[[0.5] * 4] * lookback], [[0.5] * 4] * lookback):
            response = predict(whole, name, instances)
            assert response.status_code == 400
            assert "width 5" in response.json()["error"]
        assert predict(whole, name, [window(lookback)]).status_code == 200

    def test_more_windows_than_can_be_judged_in_time_are_refused(self, whole: TestClient) -> None:
        response = predict(whole, "ensemble-predictor", [window(12)] * 129)
        assert response.status_code == 400
        assert "at most 128" in response.json()["error"]

    def test_an_unknown_model_is_a_404(self, whole: TestClient) -> None:
        for response in (predict(whole, "model", [DEFAULT]), whole.get("/v1/models/nope"), whole.get("/nope")):
            assert response.status_code == 404
            assert set(response.json()) == {"error"}


class TestMetadata:
    def test_all_names_are_listed(self, whole: TestClient) -> None:
        assert whole.get("/v1/models").json() == {"models": list(MODEL_NAMES)}

    @pytest.mark.parametrize("protocol", ["v1", "v2"])
    @pytest.mark.parametrize("name", MODEL_NAMES)
    def test_a_model_tells_what_it_takes(self, whole: TestClient, name: str, protocol: str) -> None:
        response = whole.get(f"/{protocol}/models/{name}")
        answers.ModelMetadata.model_validate_json(response.content)
        found = response.json()
        assert found["name"] == name
        assert found["versions"] == ["1"]
        assert found["inputs"][0]["datatype"] == "FP64"
        assert all(type(size) is int for tensor in found["inputs"] + found["outputs"] for size in tensor["shape"])
        assert found["features"] == list(SPECS[name].family.features)

    def test_health_of_v2(self, whole: TestClient) -> None:
        assert whole.get("/v2").json()["name"] == "aiops-assets"
        assert whole.get("/v2/health/live").json() == {"live": True}
        assert whole.get("/v2/health/ready").json() == {"ready": True}
        assert whole.get("/v2/models/lstm-predictor/ready").json() == {"name": "lstm-predictor", "ready": True}


def infer(client: TestClient, name: str, shape: list[int], data: object, datatype: str = "FP64") -> Any:
    tensor = {"name": "rows", "shape": shape, "datatype": datatype, "data": data}
    return client.post(f"/v2/models/{name}/infer", json={"id": "7", "inputs": [tensor]})


class TestV2:
    def test_rows_are_answered_as_in_v1(self, whole: TestClient) -> None:
        response = infer(whole, ANOMALY_DETECTOR.name, [2, 45], DEFAULT + FAR)
        answers.InferAnswer.model_validate_json(response.content, strict=True)
        found = response.json()
        assert (found["id"], found["model_name"], found["model_version"]) == ("7", "anomaly-detector", "1")
        predictions, scores = found["outputs"]
        assert predictions == {"name": "predictions", "datatype": "INT64", "shape": [2], "data": [1, -1]}
        assert scores["data"] == predict(whole, "anomaly-detector", [DEFAULT, FAR]).json()["scores"]
        assert found["parameters"] == {"data_version": "data-of-1", "effective_source": "synthetic"}

    def test_one_window_needs_no_third_dimension(self, whole: TestClient) -> None:
        rows = window(40)
        flat = [value for row in rows for value in row]
        as_two = infer(whole, "ensemble-predictor", [40, 5], rows).json()["outputs"]
        assert as_two == infer(whole, "ensemble-predictor", [1, 40, 5], flat).json()["outputs"]

    def test_a_forecast_is_a_tensor_by_step_and_metric(self, whole: TestClient) -> None:
        outputs = {one["name"]: one for one in infer(whole, "arima-predictor", [24, 5], window(24)).json()["outputs"]}
        assert outputs["forecast"]["shape"] == [12, 5]
        assert len(outputs["forecast"]["data"]) == 60
        assert outputs["metrics"]["data"] == list(SPECS["arima-predictor"].family.features)

    @pytest.mark.parametrize(
        ("shape", "data", "datatype"),
        [
            ([2, 45], DEFAULT, "FP64"),
            ([1, 45], DEFAULT, "BYTES"),
            ([0], [], "FP64"),
            ([-1, 45], DEFAULT, "FP64"),
            ([1, 45], [*DEFAULT[:-1], None], "FP64"),
            ([1, 45], [DEFAULT, 1.0], "FP64"),
            ([1, 2], [[], []], "FP64"),
            ([45], DEFAULT, "FP64"),
            ([2**40, 2**40], DEFAULT, "FP64"),
            ([*[1] * 200, 45], DEFAULT, "FP64"),
        ],
        ids=str,
    )
    def test_a_tensor_that_cannot_be_used_is_a_400(
        self, whole: TestClient, shape: list[int], data: object, datatype: str
    ) -> None:
        response = infer(whole, ANOMALY_DETECTOR.name, shape, data, datatype)
        assert response.status_code == 400
        assert set(response.json()) == {"error"}

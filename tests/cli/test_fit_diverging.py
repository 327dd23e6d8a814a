"""A run that diverges ends in one line; one that skipped says so where it is finished."""

import json


def test_a_run_that_diverges_ends_in_one_line(adc, recipe, tmp_path):
    def change(content):
        content["model"]["init_args"]["losses"][0]["init_args"]["weight"] = float("nan")
        content["trainer"]["callbacks"].append({"class_path": "Divergence", "init_args": {"limit": 2}})

    status, _, complaint = adc("fit", "-c", recipe(change))
    assert status == 1
    (line,) = [line for line in complaint.splitlines() if line.startswith("adc: error: ")]
    assert "role 'network': the loss is not finite after 2 batches (L1 nan); 3 updates in a row were skipped" in line
    assert (tmp_path / "run" / "diverged" / "00000002_rank0.safetensors").is_file()
    assert not (tmp_path / "run" / "finished.json").exists()


def test_what_was_skipped_is_kept_with_a_finished_run(adc, recipe, tmp_path):
    status, _, complaint = adc("fit", "-c", recipe())
    assert status == 0, complaint
    facts = json.loads((tmp_path / "run" / "finished.json").read_text())
    assert facts["skipped_updates"] == {"network": 0} and facts["skipped_files"] == {}

from __future__ import annotations

import pytest
from pydantic import ValidationError

from databuild.train.options import DpoOptions, LoraOptions, SftOptions


def test_a_misspelt_option_is_refused() -> None:
    with pytest.raises(ValidationError, match="learning_rat"):
        SftOptions.model_validate({"learning_rat": 1e-4})


def test_options_survive_json() -> None:
    options = DpoOptions(
        loss_type=("sigmoid", "sft"), loss_weights=(1.0, 0.2), lora=LoraOptions(r=4)
    )
    assert DpoOptions.model_validate_json(options.model_dump_json()) == options


def test_each_loss_needs_a_weight() -> None:
    with pytest.raises(ValidationError, match="1 values for 2 losses"):
        DpoOptions(loss_type=("sigmoid", "sft"), loss_weights=(1.0,))


def test_a_loss_that_smooths_needs_smoothing() -> None:
    with pytest.raises(ValidationError, match="exo_pair needs label_smoothing"):
        DpoOptions(loss_type=("exo_pair",))


def test_the_reference_is_computed_once_where_that_saves_something() -> None:
    assert not DpoOptions().precomputes
    assert DpoOptions(num_train_epochs=2).precomputes
    assert DpoOptions(lora=None).precomputes
    assert not DpoOptions(lora=None, precompute_ref_log_probs=False).precomputes

"""What is one letter off a field's name is that field mistyped; providers' own fields are none of that."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core import chat, slips
from shared.core.chat import ChatFields
from shared.core.errors import BadRequest
from shared.dialects.anthropic_shapes import MessagesFields
from shared.dialects.completions import CompletionsFields
from shared.dialects.generate import GenerateFields
from shared.dialects.responses_shapes import ResponsesFields
from shared.dialects.route import RouteFields

if TYPE_CHECKING:
    from collections.abc import Collection

    from msgspec import Struct

SHAPES = (ChatFields, CompletionsFields, GenerateFields, MessagesFields, ResponsesFields, RouteFields)
LETTERS = string.ascii_lowercase + "_T"
# Of vLLM, SGLang, llama.cpp, Ollama, TGI, Mistral, DeepSeek, xAI, Groq, Together, Fireworks, OpenRouter, Qwen, Cohere.
EXTENSIONS = """
top_k min_p top_a typical_p tfs_z top_n_tokens repetition_penalty repeat_penalty length_penalty no_repeat_ngram_size
min_tokens max_new_tokens max_output_tokens max_length stop_token_ids stop_regex stop_sequences stop_words
include_stop_str_in_output ignore_eos skip_special_tokens spaces_between_special_tokens truncate_prompt_tokens
prompt_logprobs return_token_ids return_tokens_as_token_ids logits_processors echo best_of use_beam_search
add_generation_prompt continue_final_message add_special_tokens chat_template chat_template_kwargs documents
mm_processor_kwargs guided_json guided_regex guided_choice guided_grammar structural_tag structured_outputs grammar
json_schema regex ebnf format options keep_alive think thinking enable_thinking thinking_budget reasoning
reasoning_format include_reasoning reasoning_split separate_reasoning priority request_id cache_salt cache_prompt
kv_transfer_params vllm_xargs allowed_token_ids bad_words session_params rid lora_path n_predict n_probs n_keep
id_slot mirostat mirostat_tau mirostat_eta samplers dry_multiplier xtc_probability dynatemp_range post_sampling_probs
safe_prompt random_seed prompt_mode search_parameters search_settings citation_options deferred transforms provider
route usage safety_model context_length_exceeded_behavior prompt_truncate_len perf_metrics_in_response draft_model
enable_search incremental_output result_format extra_body cache_control safety_settings generation_config
response_schema cached_content adapter_id timings_per_token prompt_cache_max_len compound_custom debug preset
"""


def refused(name: str, known: Collection[str] = ChatFields.__struct_fields__) -> bool:
    """Tell whether a field of this name is refused."""
    try:
        slips.refuse({name: 1}, known)
    except BadRequest:
        return True
    return False


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("max_token", "max_tokens"),
        ("temprature", "temperature"),
        ("temperatrue", "temperature"),
        ("frequency_penality", "frequency_penalty"),
        ("response_fromat", "response_format"),
        ("top_logrpobs", "top_logprobs"),
        ("max_completion_token", "max_completion_tokens"),
    ],
)
def test_a_mistyped_field_is_named_with_the_one_that_is_meant(name: str, meant: str) -> None:
    """Unless it is that one's own twin, or says nothing."""
    body = b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "%s": 1}' % name.encode()
    with pytest.raises(BadRequest, match=rf"^There is no field '{name}'\. Did you mean '{meant}'\?$") as error:
        chat.parse(body)
    assert error.value.param == name
    slips.refuse({name: 1, meant: 1}, [meant])
    slips.refuse({name: None}, [meant])


@pytest.mark.parametrize("shape", SHAPES)
def test_what_others_have_of_their_own_goes_along(shape: type[Struct]) -> None:
    """None of it is one letter off a long name of this dialect's, nor is one of these off another."""
    others = {*EXTENSIONS.split(), *(name for other in SHAPES for name in other.__struct_fields__)}
    assert [name for name in others if refused(name, shape.__struct_fields__)] == []


def slip(word: str) -> set[str]:
    """Return what one slip can make of a word."""
    ends = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    return {
        *(head + tail[1:] for head, tail in ends if tail),
        *(head + tail[1] + tail[0] + tail[2:] for head, tail in ends if len(tail) > 1),
        *(head + letter + tail[1:] for head, tail in ends if tail for letter in LETTERS),
        *(head + letter + tail for head, tail in ends for letter in LETTERS),
    } - {word}


def test_every_slip_is_seen() -> None:
    """Missing, added, wrong and swapped letters, at every place."""
    assert all(refused(name, ["max_tokens"]) for name in slip("max_tokens"))


def test_a_flood_of_strange_fields_is_not_looked_at() -> None:
    """It would be compared with every known field, and goes along as other strange fields do."""
    flood = {f"f{number}": 1 for number in range(100)}
    slips.refuse({**flood, "max_token": 1}, ["max_tokens"])


@given(st.text("maxtoken_s", min_size=7, max_size=12))
def test_nothing_else_is(name: str) -> None:
    """Whatever is more than one slip away is another word."""
    assert refused(name, ["max_tokens"]) is (name in slip("max_tokens"))


@given(st.sampled_from(sorted(slip("max_tokens"))), st.data())
def test_two_slips_are_not_a_slip_unless_one_is_enough(once: str, data: st.DataObject) -> None:
    """Near words are where mistakes would be."""
    twice = data.draw(st.sampled_from(sorted(slip(once))))
    assert refused(twice, ["max_tokens"]) is (twice in slip("max_tokens"))

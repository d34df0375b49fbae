"""A real language model with random weights, small enough to write at once; it only outputs gibberish."""

from pathlib import Path

import pytest

WIDTH, INNER, HEADS, WINDOW = 32, 64, 2, 65_536
BYTES = [f"<0x{number:02X}>" for number in range(256)]


def write_random_model(path: Path) -> None:
    """Write a one-layer Llama model over single bytes (GGUF, about 100 KB). Skips the test without `gguf`."""
    gguf = pytest.importorskip("gguf", reason="needs the packages of the group real-model")
    numpy = pytest.importorskip("numpy")
    model = gguf.GGUFWriter(path, "llama")
    model.add_context_length(WINDOW)
    model.add_embedding_length(WIDTH)
    model.add_block_count(1)
    model.add_feed_forward_length(INNER)
    model.add_head_count(HEADS)
    model.add_head_count_kv(HEADS)
    model.add_layer_norm_rms_eps(1e-5)
    model.add_rope_dimension_count(WIDTH // HEADS)
    tokens = ["<unk>", "<s>", "</s>", *BYTES]
    kinds = gguf.TokenType
    model.add_vocab_size(len(tokens))
    model.add_tokenizer_model("llama")
    model.add_token_list(tokens)
    model.add_token_scores([0.0] * len(tokens))
    model.add_token_types([kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL, *[kinds.BYTE] * len(BYTES)])
    model.add_unk_token_id(0)
    model.add_bos_token_id(1)
    model.add_eos_token_id(2)
    draw = numpy.random.default_rng(1)
    shapes = {
        "token_embd": (len(tokens), WIDTH),
        "output": (len(tokens), WIDTH),
        "blk.0.ffn_gate": (INNER, WIDTH),
        "blk.0.ffn_up": (INNER, WIDTH),
        "blk.0.ffn_down": (WIDTH, INNER),
        **{f"blk.0.attn_{part}": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")},
    }
    for name, shape in shapes.items():
        model.add_tensor(f"{name}.weight", draw.normal(0.0, 0.5, shape).astype(numpy.float32))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        model.add_tensor(f"{name}.weight", numpy.ones(WIDTH, numpy.float32))
    model.write_header_to_file()
    model.write_kv_data_to_file()
    model.write_tensors_to_file()
    model.close()

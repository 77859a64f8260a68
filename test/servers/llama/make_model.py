"""Writes a llama model of random weights: make_model.py FILE

A megabyte, made from a fixed seed, downloaded from nowhere. What it says is nonsense in English words, but tokenizer,
cache, sampler, streaming and HTTP server are llama.cpp's own.
"""
import sys

import gguf
import numpy as np

WIDTH, INNER, LAYERS, HEADS, CONTEXT = 64, 128, 2, 4, 4096
WORDS = (
    "river mountain window garden winter summer bridge lantern harbour market silver copper quiet sudden gentle bright "
    "carries follows gathers opens reaches turns under beyond between across every another nothing always seldom once"
).split()
SPACE = "\u2581"  # how SentencePiece writes one


def vocabulary():
    """(text, kind) by token id: control tokens, each byte (so that any text can be tokenized), characters, words."""
    kind = gguf.TokenType
    tokens = [("<unk>", kind.UNKNOWN), ("<s>", kind.CONTROL), ("</s>", kind.CONTROL)]
    tokens += [(f"<0x{byte:02X}>", kind.BYTE) for byte in range(256)]
    tokens += [(text, kind.NORMAL) for text in [SPACE, *map(chr, range(33, 127)), *(SPACE + word for word in WORDS)]]
    return tokens


def write(path):
    random = np.random.default_rng(7)
    tokens = vocabulary()

    def weights(*shape, scale=0.1):
        return (random.standard_normal(shape) * scale).astype(np.float32)

    model = gguf.GGUFWriter(path, "llama")
    model.add_name("tiny")
    model.add_file_type(gguf.LlamaFileType.ALL_F32)
    model.add_context_length(CONTEXT)
    model.add_embedding_length(WIDTH)
    model.add_feed_forward_length(INNER)
    model.add_block_count(LAYERS)
    model.add_head_count(HEADS)
    model.add_head_count_kv(HEADS)
    model.add_rope_dimension_count(WIDTH // HEADS)
    model.add_layer_norm_rms_eps(1e-5)
    model.add_vocab_size(len(tokens))
    model.add_tokenizer_model("llama")
    model.add_tokenizer_pre("default")
    model.add_token_list([text for text, _ in tokens])
    model.add_token_types([kind for _, kind in tokens])
    model.add_token_scores([-float(place) for place in range(len(tokens))])
    model.add_unk_token_id(0)
    model.add_bos_token_id(1)
    model.add_eos_token_id(2)
    model.add_add_bos_token(True)
    model.add_add_eos_token(False)
    model.add_chat_template(
        "{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }}\n{% endfor %}[assistant]"
    )

    # Only words get logits worth sampling, so the text is readable and the end token all but never comes.
    output = weights(len(tokens), WIDTH, scale=0.5)
    output[: -len(WORDS)] *= 0.01
    model.add_tensor("token_embd.weight", weights(len(tokens), WIDTH, scale=1.0))
    model.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    model.add_tensor("output.weight", output)
    shapes = {
        **{f"attn_{part}": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")},
        "ffn_gate": (INNER, WIDTH), "ffn_up": (INNER, WIDTH), "ffn_down": (WIDTH, INNER),
    }
    for layer in range(LAYERS):
        for norm in ("attn_norm", "ffn_norm"):
            model.add_tensor(f"blk.{layer}.{norm}.weight", np.ones(WIDTH, np.float32))
        for name, shape in shapes.items():
            model.add_tensor(f"blk.{layer}.{name}.weight", weights(*shape))
    model.write_header_to_file()
    model.write_kv_data_to_file()
    model.write_tensors_to_file()
    model.close()


write(sys.argv[1])

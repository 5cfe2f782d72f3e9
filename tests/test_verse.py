"""The verse collection into texts and couplets, on made-up poems of the collection's file shape; and Muon."""

import json
import tarfile

import pytest
import torch
from tiny_models import character_tokenizer, tiny_gpt2

from recipe.errors import UserError
from recipe.model.tokenization import read_characters
from recipe.training.optimizers import MuonWithAdamW, _make_muon
from recipe.verse import __main__ as command
from recipe.verse.cleaning import clean
from recipe.verse.collection import read_collection
from recipe.verse.couplets import distinct, is_middle, keeps_form, regulated_couplets, split_by_poem

# Eight made-up lines of five characters; the middle four mirror each other by word class.
POEM = ["青山連海遠，白水入雲深。", "風送千帆影，月生萬里心。", "鳥聲穿竹徑，花氣滿松林。", "此地無塵事，歸來獨自吟。"]
OTHER = ["孤舟行夜雨，老樹立秋霜。", "燈照三更夢，書添一寸香。", "客愁隨雁去，鄉信到門長。", "莫問明朝路，且看今夕陽。"]


def collection(folder, poems, directory="quantangshi"):
    (folder / directory).mkdir(parents=True)
    records = [{"author": "無名", "title": "無題", "paragraphs": poem} for poem in poems]
    (folder / directory / "poet.tang.0.json").write_text(json.dumps(records, ensure_ascii=False), encoding="utf-8")
    return folder


def test_directory_tarball_and_repository_hold_the_same_poems(tmp_path):
    unpacked = collection(tmp_path / "package", [POEM, OTHER])
    with tarfile.open(tmp_path / "poems.tgz", "w:gz") as archive:
        archive.add(unpacked, "package/dist")
    cloned = collection(tmp_path / "clone", [POEM, OTHER], "全唐诗")
    found = [read_collection(path) for path in (unpacked, tmp_path / "poems.tgz", cloned)]
    assert [each.poems for each in found] == [["".join(POEM), "".join(OTHER)]] * 3
    assert len({each.sha256 for each in found}) == 1


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "no such file or directory"), (b"", "no tarball, or a torn one"), (b"PK\x03\x04", "no tarball")],
)
def test_what_is_no_collection_is_one_message(tmp_path, content, problem):
    path = tmp_path / "poems.tgz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=problem) as raised:
        read_collection(path)
    assert "npm pack chinese-poetry" in str(raised.value)


def test_a_torn_tarball_and_a_damaged_file_are_named(tmp_path):
    unpacked = collection(tmp_path / "package", [POEM] * 500)
    with tarfile.open(tmp_path / "poems.tgz", "w:gz") as archive:
        archive.add(unpacked, "package")
    whole = (tmp_path / "poems.tgz").read_bytes()
    (tmp_path / "poems.tgz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="torn"):
        read_collection(tmp_path / "poems.tgz")
    (unpacked / "quantangshi/poet.tang.0.json").write_text('[{"title": "x"}]', encoding="utf-8")
    with pytest.raises(UserError, match=r"poet\.tang\.0\.json: is not a list of poems"):
        read_collection(unpacked)


def test_notes_and_lost_characters_leave_no_trace():
    note, lost, plain = clean(["青山（一作春山）入云深。", "白水□天远。明月照人归。", "花落知多少。"], rare_below=1)
    assert note.text == "青山入云深。"
    assert lost.text == "明月照人归。" and not lost.is_whole
    assert plain.is_whole


def test_only_middle_couplets_of_regulated_poems_are_taken():
    poems = distinct(clean(["".join(POEM), "".join(POEM), "青山连海远，白水入云深。"], rare_below=1))
    couplets = regulated_couplets(poems)
    assert len(poems) == 2 and len(couplets) == 4
    assert [(couplet.upper, couplet.lower) for couplet in couplets if is_middle(couplet)] == [
        ("風送千帆影", "月生萬里心"),
        ("鳥聲穿竹徑", "花氣滿松林"),
    ]
    assert all(map(keeps_form, filter(is_middle, couplets)))


def test_no_poem_and_no_line_stands_on_two_sides():
    def line(number):
        return "".join(chr(0x5000 + 5 * number + place) for place in range(5))

    # Forty poems of eight lines of their own; only the third line of each is that of the poem twenty further on, too.
    numbers = [[8 * (poem % 20 if place == 2 else poem) + place for place in range(8)] for poem in range(40)]
    couplets_of = [list(zip(poem[::2], poem[1::2], strict=True)) for poem in numbers]
    texts = ["".join(f"{line(upper)}，{line(lower)}。" for upper, lower in poem) for poem in couplets_of]
    poems = distinct(clean(texts, rare_below=1))
    couplets = [couplet for couplet in regulated_couplets(poems) if is_middle(couplet)]
    split = split_by_poem(couplets, poems, 4)
    sides = (split.train, split.dev, split.test)
    lines = [{line for couplet in side for line in (couplet.upper, couplet.lower)} for side in sides]
    assert all(sides) and not (lines[0] & lines[1] | lines[0] & lines[2] | lines[1] & lines[2])
    assert not {couplet.poem for couplet in split.train} & {couplet.poem for couplet in (*split.dev, *split.test)}


def test_the_command_refuses_before_it_reads(tmp_path, capsys):
    with pytest.raises(UserError, match="held_out is 0"):
        command.main(["--poems", str(tmp_path), "--held_out", "0"])


def muon():
    torch.manual_seed(0)
    model = tiny_gpt2(character_tokenizer())
    optimizer = _make_muon(model, 0.01, lr=1e-2, betas=(0.9, 0.98), eps=1e-8)
    return model, optimizer


def train(model, optimizer, steps, seed):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        ids = torch.randint(5, 20, (4, 8), generator=generator)
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def test_hidden_matrices_go_to_muon_and_the_rest_to_adamw():
    model, optimizer = muon()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    by_group = [{names[id(parameter)] for parameter in group["params"]} for group in optimizer.param_groups]
    assert by_group[0] and all(name.endswith("weight") and ".h." in name for name in by_group[0])
    assert by_group[1] == {"transformer.wte.weight", "transformer.wpe.weight"}
    assert set.union(*by_group) == set(names.values()) and optimizer.param_groups[2]["weight_decay"] == 0.0


def test_a_loaded_state_goes_on_exactly(tmp_path):
    whole, optimizer = muon()
    train(whole.eval(), optimizer, 3, seed=1)
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    weights = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    train(whole, optimizer, 3, seed=2)
    resumed, fresh = muon()
    resumed.eval().load_state_dict(weights)
    fresh.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
    train(resumed, fresh, 3, seed=2)
    assert isinstance(fresh, MuonWithAdamW) and fresh.state
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_a_vocabulary_file_gives_each_character_once(tmp_path):
    (tmp_path / "vocabulary.txt").write_text("天地\n天人\n", encoding="utf-8")
    assert read_characters(str(tmp_path / "vocabulary.txt")) == ["天", "地", "人"]
    (tmp_path / "empty.txt").write_text("\n", encoding="utf-8")
    for name, problem in (("empty.txt", "holds no character"), ("nowhere.txt", "no such file")):
        with pytest.raises(UserError, match=f"--vocabulary_file .*{problem}"):
            read_characters(str(tmp_path / name))

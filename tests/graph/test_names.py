"""The user's names of defects: they stick, they can be taken back, and a damaged file is told."""

import pytest

import atomnb
from atomnb.errors import AtomnbError
from atomnb.graph.names import LONGEST, apply_names, load_names, names_file, save_name

pytest.importorskip("ase")

TOPOLOGY, OTHER = "0123456789abcdef", "fedcba9876543210"


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "new folder" / "names.json"
    monkeypatch.setenv("ATOMNB_NAMES", str(path))
    return path


def test_a_name_sticks_and_can_be_taken_back(file):
    assert names_file() == file and load_names() == {}
    save_name(TOPOLOGY, "  my   defect ")
    save_name(OTHER, "Stone–Wales, mine")
    assert load_names() == {TOPOLOGY: "my defect", OTHER: "Stone–Wales, mine"}
    save_name(TOPOLOGY, "better")
    save_name(OTHER, "")
    assert load_names() == {TOPOLOGY: "better"}
    assert [p.name for p in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize(("topology", "name"), [("Si1C3", "x"), (TOPOLOGY, "x" * (LONGEST + 1)), (TOPOLOGY, "a\0b")])
def test_what_can_be_no_name_is_refused_and_changes_nothing(file, topology, name):
    save_name(OTHER, "kept")
    with pytest.raises(AtomnbError):
        save_name(topology, name)
    assert load_names() == {OTHER: "kept"}


@pytest.mark.parametrize("content", ["{", "[1, 2]", '{"a": 1}'])
def test_a_damaged_file_is_told_and_not_overwritten(file, content):
    file.parent.mkdir()
    file.write_text(content)
    for act in (load_names, lambda: save_name(TOPOLOGY, "x")):
        with pytest.raises(AtomnbError, match="repair or remove"):
            act()
    assert file.read_text() == content


def test_defects_bear_the_names(file):
    from atomnb.simulate.structures import create_structure

    made = create_structure("graphene", size_angstrom=(40, 40), options={"stone_wales": 1}).columns()
    sheet = {"rules": "graphene", "species": made.content, "pixel_size": 1.0}
    found = atomnb.find_defects(made.positions_yx, **sheet)
    save_name(found["topology"][0], "turned bond")
    named = atomnb.find_defects(made.positions_yx, **sheet, names=load_names())
    assert named["name"][0] == "turned bond" != found["name"][0]
    assert apply_names(found, load_names()).equals(named)
    assert apply_names(found, {}).equals(found)

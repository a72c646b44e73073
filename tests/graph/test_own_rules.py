"""Rule sets of the user's own: found by name, checked before they are kept, never in place of the package's."""

import pytest

import atomnb
from atomnb.graph.own_rules import delete_rules, save_rules
from atomnb.graph.rules import RulesError, list_rules, load_rules, rules_text, user_rules_folder


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ATOMNB_RULES", str(tmp_path / "rules"))
    return tmp_path / "rules"


def test_own_rules_are_found_by_name(folder):
    shipped = list_rules()
    assert user_rules_folder() == folder and "graphene" in shipped
    text = rules_text("graphene").replace("C-Si: [", "C-Si: [1.0, 2.4] # [")
    path = save_rules("my-graphene", text)
    assert path.parent == folder and [p.name for p in folder.iterdir()] == ["my-graphene.yaml"]
    assert list_rules() == [*shipped, "my-graphene"] == atomnb.list_rules()
    assert rules_text("my-graphene") == text
    assert load_rules("my-graphene").ranges["C", "Si"] == (1.0, 2.4) == load_rules(path).ranges["C", "Si"]
    delete_rules("my-graphene")
    assert list_rules() == shipped
    with pytest.raises(RulesError, match="no rules 'my-graphene'"):
        load_rules("my-graphene")


def test_what_is_no_rule_set_is_not_kept(folder):
    with pytest.raises(RulesError, match="C-C: the shortest bond"):
        save_rules("wrong", rules_text("graphene").replace("C-C: [", "C-C: [3.0, 1.0] # ["))
    for name in ("graphene", "../outside", "", "a b", ".hidden"):
        with pytest.raises(RulesError):
            save_rules(name, rules_text("graphene"))
    assert not folder.exists()


def test_the_rules_of_the_package_go_before_and_cannot_be_deleted(folder):
    folder.mkdir()
    (folder / "graphene.yaml").write_text(rules_text("hbn"))
    assert list_rules().count("graphene") == 1
    assert load_rules("graphene").name == "graphene"
    for name in ("nothing", "../rules/graphene"):
        with pytest.raises(RulesError, match="of your own to delete"):
            delete_rules(name)

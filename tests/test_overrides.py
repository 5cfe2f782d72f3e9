"""The library's methods and attributes that the three floors of the Trainer rest on exist, read from the classes.

A release that renames an overridden method would silently bring the old behaviour back; one that renames a private
attribute would fail in the middle of a run.
"""

import ast
import inspect
import textwrap

import pytest
from transformers import Trainer

from recipe.training.checkpointed_trainer import CheckpointedTrainer
from recipe.training.nonfinite import GuardedTrainer
from recipe.training.trainer import CoupletTrainer

FLOORS = [CheckpointedTrainer, GuardedTrainer, CoupletTrainer]
each_floor = pytest.mark.parametrize("floor", FLOORS)


def methods(floor):
    return {name for name, value in vars(floor).items() if inspect.isfunction(value) and not name.startswith("__")}


def marked(floor):
    return {name for name in methods(floor) if getattr(vars(floor)[name], "__override__", False)}


def syntax(code):
    return list(ast.walk(ast.parse(textwrap.dedent(inspect.getsource(code)))))


def is_name(node, name):
    return isinstance(node, ast.Name) and node.id == name


def attributes_of_self(code):
    """Return the names that a class or a function reads or sets of its instance."""
    nodes = [node for node in syntax(code) if isinstance(node, ast.Attribute)]
    return {node.attr for node in nodes if is_name(node.value, "self")}


def attributes_set(code):
    """Return the names that a class or a function sets of its instance; a declaration without a value is one too."""
    nodes = [node for node in syntax(code) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)]
    return {node.attr for node in nodes if is_name(node.value, "self")}


def attributes_of_super(floor):
    calls = [node for node in syntax(floor) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call)]
    return {node.attr for node in calls if is_name(node.value.func, "super")} - {"__init__"}


@each_floor
def test_what_overrides_something_is_marked_and_what_is_marked_overrides_something(floor):
    assert marked(floor) == methods(floor) & set(dir(floor.__base__))


@each_floor
def test_every_method_that_is_extended_exists_below(floor):
    assert attributes_of_super(floor) - set(dir(floor.__base__)) == set()
    assert attributes_of_super(floor) <= marked(floor)


@each_floor
def test_every_attribute_that_is_used_exists(floor):
    """What a floor adds to its instance, its `__init__` says; everything else is the library's or of a floor below."""
    own = methods(floor) | attributes_set(floor.__init__)
    below = [base for base in floor.__mro__[1:] if base is not object]
    library = set(dir(floor.__base__)).union(*(attributes_set(base) for base in below if base not in FLOORS))
    floors = set().union(*(attributes_set(base.__init__) for base in below if base in FLOORS))
    assert attributes_of_self(floor) - own - library - floors == set()


def test_the_floors_override_the_library_and_use_its_private_parts():
    """Were the names above read wrongly, nothing would be compared: these are known to be among them."""
    overridden = set().union(*map(marked, FLOORS)) & set(dir(Trainer))
    assert {"_save_checkpoint", "_load_from_checkpoint", "_get_grad_norm", "_get_train_sampler"} <= overridden
    used = set().union(*map(attributes_of_self, FLOORS))
    assert {"_tr_loss", "_globalstep_last_logged", "_save_scaler"} <= used

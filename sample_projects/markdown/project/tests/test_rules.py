"""What holds for all rules together."""

import collections
import unittest

from mdhtml import blocks, inlines, passes
from mdhtml.rules import load


def all_rules() -> list:
    return [
        *load("mdhtml.blocks", blocks.RULES),
        *load("mdhtml.inlines", inlines.RULES),
        *load("mdhtml.passes", passes.RULES),
    ]


class RulesTest(unittest.TestCase):
    def test_every_rule_has_a_name_of_its_own(self) -> None:
        counted = collections.Counter(rule.name for rule in all_rules())
        twice = [name for name, times in counted.items() if times > 1]
        self.assertEqual(twice, [], f"`--without` needs rule names that differ; used twice: {twice}")

    def test_each_module_is_registered_once(self) -> None:
        for names in (blocks.RULES, inlines.RULES, passes.RULES):
            self.assertEqual(sorted(names), sorted(set(names)))


if __name__ == "__main__":
    unittest.main()

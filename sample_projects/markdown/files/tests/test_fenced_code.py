import unittest

from mdhtml.convert import convert


class FencedCodeTest(unittest.TestCase):
    def test_code_is_taken_as_it_is(self) -> None:
        self.assertEqual(convert("```\na < b\n\n  # c\n```"), "<pre><code>a &lt; b\n\n  # c\n</code></pre>\n")

    def test_the_language_becomes_a_class(self) -> None:
        self.assertEqual(convert("~~~ python\nx = 1\n~~~"), '<pre><code class="language-python">x = 1\n</code></pre>\n')

    def test_a_longer_fence_holds_a_shorter_one(self) -> None:
        self.assertEqual(convert("````\n```\n````"), "<pre><code>```\n</code></pre>\n")

    def test_an_open_fence_reaches_to_the_end(self) -> None:
        self.assertEqual(convert("text\n```\ncode"), "<p>text</p>\n<pre><code>code\n</code></pre>\n")


if __name__ == "__main__":
    unittest.main()

import unittest

from mdhtml.convert import convert


class ImagesTest(unittest.TestCase):
    def test_address_and_description(self) -> None:
        self.assertEqual(convert("![a cat](cat.png)"), '<p><img src="cat.png" alt="a cat"></p>\n')

    def test_a_title_is_kept(self) -> None:
        self.assertEqual(convert('![](cat.png "Tom")'), '<p><img src="cat.png" alt="" title="Tom"></p>\n')

    def test_an_exclamation_mark_is_text(self) -> None:
        self.assertEqual(convert("so!["), "<p>so![</p>\n")


if __name__ == "__main__":
    unittest.main()

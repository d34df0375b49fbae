"""What the scripted swarm adds to the library: functions with their docs, tests and stubs, each a task."""

from msgspec import Struct


class Addition(Struct, frozen=True):
    """One function for `more_itertools.recipes`, with a doctest in it, and what belongs to it elsewhere."""

    name: str
    slice: str
    purpose: str
    source: str
    stub: str
    test: str

    @property
    def title(self) -> str:
        return f"Add {self.name}"


NUMBERS, POSITIONS = "Running figures", "Positions"

ADDITIONS = (
    Addition(
        "running_mean",
        NUMBERS,
        "yield the mean of the items seen so far",
        '''def running_mean(iterable):
    """Yield the mean of the items of *iterable* seen so far.

        >>> list(running_mean([2, 4, 9]))
        [2.0, 3.0, 5.0]

    """
    total = 0
    for number, item in enumerate(iterable, start=1):
        total += item
        yield total / number
''',
        "def running_mean(iterable: Iterable[float]) -> Iterator[float]: ...",
        """class RunningMeanTests(TestCase):
    def test_basic(self):
        self.assertEqual(list(mi.running_mean([2, 4, 9])), [2.0, 3.0, 5.0])

    def test_empty(self):
        self.assertEqual(list(mi.running_mean([])), [])
""",
    ),
    Addition(
        "running_max",
        NUMBERS,
        "yield the largest of the items seen so far",
        '''def running_max(iterable, key=None):
    """Yield the largest of the items of *iterable* seen so far.

        >>> list(running_max([3, 1, 4, 1, 5]))
        [3, 3, 4, 4, 5]

    Of equally large items the first one counts. *key* works as in ``max()``.

    """
    largest = _marker
    for item in iterable:
        if largest is _marker:
            largest = item
        else:
            largest = max(largest, item, key=key)
        yield largest
''',
        """def running_max(
    iterable: Iterable[_T], key: Callable[[_T], Any] | None = ...
) -> Iterator[_T]: ...""",
        """class RunningMaxTests(TestCase):
    def test_basic(self):
        self.assertEqual(list(mi.running_max([3, 1, 4, 1])), [3, 3, 4, 4])

    def test_key(self):
        words = ['bb', 'a', 'cc', 'ddd']
        expected = ['bb', 'bb', 'bb', 'ddd']
        self.assertEqual(list(mi.running_max(words, key=len)), expected)
""",
    ),
    Addition(
        "alternating_sum",
        NUMBERS,
        "add the items with signs that alternate",
        '''def alternating_sum(iterable):
    """Return the sum of the items of *iterable* with alternating signs.

        >>> alternating_sum([10, 3, 2, 1])
        8

    The first item counts as positive; the sum of no items is 0.

    """
    total, sign = 0, 1
    for item in iterable:
        total += sign * item
        sign = -sign
    return total
''',
        "def alternating_sum(iterable: Iterable[float]) -> float: ...",
        """class AlternatingSumTests(TestCase):
    def test_basic(self):
        self.assertEqual(mi.alternating_sum([10, 3, 2, 1]), 8)

    def test_empty(self):
        self.assertEqual(mi.alternating_sum(iter([])), 0)
""",
    ),
    Addition(
        "digit_list",
        NUMBERS,
        "list the digits of a natural number in any base",
        '''def digit_list(n, base=10):
    """Return the digits of the natural number *n*, the highest first.

        >>> digit_list(1204)
        [1, 2, 0, 4]
        >>> digit_list(10, base=2)
        [1, 0, 1, 0]

    """
    if n < 0 or base < 2:
        raise ValueError('n must be natural and base at least 2')
    digits = deque()
    while True:
        n, digit = divmod(n, base)
        digits.appendleft(digit)
        if not n:
            return list(digits)
''',
        "def digit_list(n: int, base: int = ...) -> list[int]: ...",
        """class DigitListTests(TestCase):
    def test_round_trip(self):
        for n in range(300):
            with self.subTest(n=n):
                digits = mi.digit_list(n, base=7)
                self.assertEqual(reduce(lambda a, d: a * 7 + d, digits), n)

    def test_errors(self):
        self.assertRaises(ValueError, mi.digit_list, -1)
        self.assertRaises(ValueError, mi.digit_list, 1, 1)
""",
    ),
    Addition(
        "drop_last",
        POSITIONS,
        "yield all items but the last few",
        '''def drop_last(n, iterable):
    """Yield all items of *iterable* but the last *n*.

        >>> list(drop_last(2, 'ABCDE'))
        ['A', 'B', 'C']

    At most *n* items are held at a time.

    """
    if n < 0:
        raise ValueError('n must be >= 0')
    iterator = iter(iterable)
    held = deque(islice(iterator, n))
    for item in iterator:
        held.append(item)
        yield held.popleft()
''',
        "def drop_last(n: int, iterable: Iterable[_T]) -> Iterator[_T]: ...",
        """class DropLastTests(TestCase):
    def test_basic(self):
        for n in range(7):
            with self.subTest(n=n):
                expected = list('ABCDE')[: max(0, 5 - n)]
                self.assertEqual(list(mi.drop_last(n, 'ABCDE')), expected)

    def test_negative(self):
        with self.assertRaises(ValueError):
            list(mi.drop_last(-1, 'ABC'))
""",
    ),
    Addition(
        "every_nth",
        POSITIONS,
        "yield every nth item, from the nth on",
        '''def every_nth(n, iterable):
    """Yield every *n*-th item of *iterable*, beginning with the *n*-th.

        >>> list(every_nth(3, 'ABCDEFG'))
        ['C', 'F']

    """
    if n < 1:
        raise ValueError('n must be >= 1')
    return islice(iterable, n - 1, None, n)
''',
        "def every_nth(n: int, iterable: Iterable[_T]) -> Iterator[_T]: ...",
        """class EveryNthTests(TestCase):
    def test_basic(self):
        self.assertEqual(list(mi.every_nth(3, 'ABCDEFG')), ['C', 'F'])
        self.assertEqual(list(mi.every_nth(1, 'ABC')), ['A', 'B', 'C'])

    def test_errors(self):
        self.assertRaises(ValueError, mi.every_nth, 0, 'ABC')
""",
    ),
    Addition(
        "first_index",
        POSITIONS,
        "find where the first item is that a predicate accepts",
        '''def first_index(iterable, pred=bool, default=None):
    """Return the position of the first item for which *pred* is true.

        >>> first_index(['', 'a', 'b'])
        1
        >>> first_index([], default=-1)
        -1

    """
    for position, item in enumerate(iterable):
        if pred(item):
            return position
    return default
''',
        """def first_index(
    iterable: Iterable[_T],
    pred: Callable[[_T], object] = ...,
    default: Any = ...,
) -> Any: ...""",
        """class FirstIndexTests(TestCase):
    def test_basic(self):
        self.assertEqual(mi.first_index([0, 0, 7]), 2)
        self.assertEqual(mi.first_index('abC', str.isupper), 2)

    def test_default(self):
        self.assertIsNone(mi.first_index([0, 0]))
        self.assertEqual(mi.first_index([], default=-1), -1)
""",
    ),
)

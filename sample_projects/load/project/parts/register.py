"""The parts that others look up, on shelves that a few parts share; one a line in any order."""

PARTS = (
    "part_00000",
    # shelf 00

    # shelf 01

    # shelf 02

    # shelf 03

    # shelf 04

    # shelf 05

    # shelf 06

    # shelf 07

    # shelf 08

    # shelf 09

    # shelf 10

    # shelf 11

    # shelf 12

    # shelf 13

    # shelf 14

    # shelf 15

    # shelf 16

    # shelf 17

    # shelf 18

    # shelf 19

    # shelf 20

    # shelf 21

    # shelf 22

    # shelf 23

    # shelf 24

    # shelf 25

    # shelf 26

    # shelf 27

    # shelf 28

    # shelf 29

    # shelf 30

    # shelf 31

    # shelf 32

    # shelf 33

    # shelf 34

    # shelf 35

    # shelf 36

    # shelf 37

    # shelf 38

    # shelf 39

    # shelf 40

    # shelf 41

    # shelf 42

    # shelf 43

    # shelf 44

    # shelf 45

    # shelf 46

    # shelf 47

    # shelf 48

    # shelf 49

    # shelf 50

    # shelf 51

    # shelf 52

    # shelf 53

    # shelf 54

    # shelf 55

    # shelf 56

    # shelf 57

    # shelf 58

    # shelf 59

    # shelf 60

    # shelf 61

    # shelf 62

    # shelf 63
)

"""Which of the embedded robust network's 57 animals is the nearest relative of each other ImageNet animal."""

from __future__ import annotations

from bisect import bisect_right

# First id of a run of classes, and the known class that stands for the run. ImageNet orders its animals by kinship
# (ids 0 to 397), so that a few runs cover them; within a run the choice is the class that looks most like the others.
RUNS: tuple[tuple[int, int], ...] = (
    (0, 1),  # fish, sharks, rays: goldfish
    (7, 99),  # cock, hen, ostrich: goose
    (10, 146),  # songbirds and birds of prey: albatross
    (25, 25),  # salamanders and newts: European fire salamander
    (30, 30),  # bullfrog
    (31, 32),  # tree frog: tailed frog
    (33, 50),  # turtles, lizards, crocodiles: American alligator
    (52, 61),  # snakes: boa constrictor
    (69, 69),  # trilobite
    (70, 75),  # harvestman: black widow
    (71, 71),  # scorpion
    (72, 75),  # garden spiders: black widow
    (76, 76),  # wolf spider: tarantula
    (78, 75),  # tick: black widow
    (79, 79),  # centipede
    (80, 99),  # game birds, parrots, ducks, swans: goose
    (101, 149),  # tusker: dugong
    (102, 105),  # echidna, platypus, wallaby, wombat: koala
    (107, 107),  # jellyfish
    (108, 109),  # sea anemone: brain coral
    (110, 115),  # flatworm, nematode: sea slug
    (112, 113),  # conch: snail
    (114, 114),  # slug
    (115, 115),  # sea slug
    (116, 113),  # chiton, nautilus: snail
    (118, 122),  # crabs: American lobster
    (123, 123),  # crayfish: spiny lobster
    (125, 122),  # hermit crab, isopod: American lobster
    (127, 128),  # storks, herons, flamingo, waders: black stork
    (135, 99),  # rails, bustard: goose
    (139, 128),  # shore birds: black stork
    (144, 146),  # pelican: albatross
    (145, 145),  # king penguin
    (146, 146),  # albatross
    (147, 149),  # whales, sea lion: dugong
    (151, 151),  # toy dogs: Chihuahua
    (153, 187),  # long-haired toy dogs: Yorkshire terrier
    (156, 151),  # small spaniels, toy terrier: Chihuahua
    (159, 208),  # hounds, bull terriers: Labrador retriever
    (181, 187),  # terriers: Yorkshire terrier
    (205, 208),  # flat-coated retriever: Labrador retriever
    (206, 267),  # curly-coated retriever: standard poodle
    (207, 207),  # golden retriever
    (208, 208),  # Labrador and Chesapeake Bay retriever, pointers
    (212, 207),  # setters, spaniels: golden retriever
    (221, 267),  # Irish water spaniel: standard poodle
    (222, 207),  # kuvasz: golden retriever
    (223, 235),  # shepherds, pinschers, mastiffs, sledge dogs: German shepherd
    (251, 208),  # dalmatian: Labrador retriever
    (252, 187),  # affenpinscher: Yorkshire terrier
    (253, 151),  # basenji, pug: Chihuahua
    (255, 207),  # Leonberg, Newfoundland, Great Pyrenees, Samoyed: golden retriever
    (259, 187),  # Pomeranian: Yorkshire terrier
    (260, 207),  # chow: golden retriever
    (261, 235),  # keeshond: German shepherd
    (262, 187),  # Brabancon griffon: Yorkshire terrier
    (263, 235),  # corgis: German shepherd
    (265, 267),  # poodles: standard poodle
    (268, 151),  # Mexican hairless: Chihuahua
    (269, 235),  # wolves, wild dogs, foxes: German shepherd
    (281, 281),  # tiger cat: tabby
    (283, 283),  # Siamese cat: Persian cat
    (285, 285),  # Egyptian cat
    (286, 286),  # lynx, leopards, jaguar: cougar
    (291, 291),  # tiger: lion
    (293, 286),  # cheetah: cougar
    (294, 294),  # bears: brown bear
    (298, 338),  # mongoose, meerkat: guinea pig
    (300, 301),  # beetles: ladybug
    (308, 308),  # fly
    (309, 309),  # ant: bee
    (311, 311),  # cricket: grasshopper
    (313, 313),  # walking stick
    (314, 314),  # cockroach
    (315, 315),  # mantis
    (316, 311),  # cicada, leafhopper: grasshopper
    (318, 319),  # lacewing, damselfly: dragonfly
    (321, 323),  # admiral, ringlet: monarch
    (324, 325),  # pale butterflies: sulphur butterfly
    (327, 329),  # starfish, sea urchin: sea cucumber
    (330, 338),  # rabbits and rodents: guinea pig
    (339, 345),  # horse, zebra: ox
    (341, 341),  # pigs, hippopotamus: hog
    (345, 345),  # ox
    (346, 347),  # water buffalo: bison
    (348, 349),  # sheep, ibex: bighorn
    (351, 353),  # antelopes: gazelle
    (354, 354),  # llama: Arabian camel
    (356, 338),  # weasels, otter, skunk, badger, armadillo, sloth: guinea pig
    (365, 365),  # orangutan
    (366, 367),  # gorilla, gibbons: chimpanzee
    (370, 372),  # monkeys, lemurs: baboon
    (385, 345),  # elephants: ox
    (387, 294),  # pandas: brown bear
    (389, 1),  # bony fish: goldfish
)
N_ANIMALS = 398


def nearest_relative(class_id: int) -> int | None:
    """The known animal that stands for an ImageNet animal, or None for things (ids from 398 on).

    Example:
        >>> nearest_relative(282)  # tiger cat -> tabby
        281
    """
    if not 0 <= class_id < N_ANIMALS:
        return None
    starts = [start for start, _ in RUNS]
    return RUNS[bisect_right(starts, class_id) - 1][1]

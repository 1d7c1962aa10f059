"""Rows that hypothesis draws, written as files of every format, and what plain Python says a data set of them holds."""

import collections
import csv
import gzip
import io
import re

import polars as pl
import scipy.sparse
from hypothesis import strategies as st

# No BOM, and nothing that a packed file begins with: at the start of a file these are no part of an id.
_CHARACTERS = st.characters(codec="utf-8", exclude_characters="\n\r\x01\x03\x04\ufeff")
_ODD = [
    "007",
    "+7",
    "-0",
    "NaN",
    "null",
    "NA",
    "1e3",
    " a ",
    "a,b",
    'a"b',
    '"',
    "a:b",
    "'",
    "#a",
    "x" * 300,
    "é",
    "\x1f",
]
_IDS = (
    st.integers(0, 99).map(str)
    | st.integers(-(2**70), 2**70).map(str)
    | st.sampled_from(_ODD)
    | st.text(_CHARACTERS, min_size=1, max_size=8)
)
_NUMBER_IDS = st.integers(0, 9).map(str) | st.integers(0, 2**31 - 2).map(str)
_VALUES = [0.0, 0.5, 1.0, 2.5, 4.0, 5.0, 1000.0, -3.0]
# Users and items that no filter below drops, so that something is always left.
_BASE = [(str(900 + u), str(700 + i), 5.0, u + i) for u in range(5) for i in range(10)]
FORBIDDEN = {
    "csv": "",
    "tsv": "",
    "parquet": "",
    "echonest": "\t",
    "u.data": "\t",
    "ratings.dat": ":",
    "ratings.csv": "",
}


@st.composite
def rows(draw, format):
    """Rows of (user, item, rating, time), some of them several times."""
    ids = _NUMBER_IDS if format == "npz" else _IDS.filter(lambda name: not set(name) & set(FORBIDDEN[format]))
    users, items = draw(st.lists(ids, min_size=1, max_size=4)), draw(st.lists(ids, min_size=1, max_size=8))
    row = st.tuples(
        st.sampled_from(users), st.sampled_from(items), st.sampled_from(_VALUES), st.integers(0, 99) | st.just(2**40)
    )
    drawn = draw(st.lists(row, max_size=30))
    return draw(st.permutations(drawn + _BASE)) if draw(st.booleans()) else _BASE + drawn + drawn[:3]


@st.composite
def options(draw, format):
    """Filters and a split that leave the base rows in."""
    chosen: dict = {"min_user_items": draw(st.integers(0, 10)), "min_item_users": draw(st.integers(0, 5))}
    if format in ("csv", "tsv", "parquet"):
        chosen |= {"user_column": "u", "item_column": "the item"}
        chosen |= draw(st.sampled_from([{}, {"rating_column": "r", "min_rating": 2.5}]))
        chosen |= draw(st.sampled_from([{}, {"time_column": "t"}]))
    else:
        chosen["min_rating"] = draw(st.sampled_from([0.0, 2.5, 5.0]))
    if max(chosen["min_user_items"], chosen["min_item_users"]) > 1:
        chosen["filter"] = draw(st.sampled_from(["once", "k_core"]))
    has_times = "time_column" in chosen or format in ("u.data", "ratings.dat", "ratings.csv")
    chosen["split"] = draw(st.sampled_from(["ratio", "leave_one_out", *(["temporal_user"] if has_times else [])]))
    return chosen


def expected_pairs(rows, options):
    """The raw pairs that are left, after the README's account of what is done to the data."""
    least = options.get("min_rating", 0)
    pairs = {(user, item) for user, item, rating, _ in rows if not least or rating >= least}
    while True:
        before = len(pairs)
        for place, least in ((1, options["min_item_users"]), (0, options["min_user_items"])):
            counts = collections.Counter(pair[place] for pair in pairs)
            pairs = {pair for pair in pairs if counts[pair[place]] >= least}
        if options.get("filter") != "k_core" or len(pairs) == before:
            break
    counts = collections.Counter(user for user, _ in pairs)
    enough = 3 if options["split"] == "leave_one_out" else 5
    return {(user, item) for user, item in pairs if counts[user] >= enough}


def num_dropped(notes):
    """How many lines the notes say were left out."""

    def number(text):
        return int(text.replace(",", ""))

    total = 0
    for note in notes:
        if found := re.search(r"^(?:Kept|Filter .*:) ([\d,]+) of ([\d,]+) pairs", note):
            total += number(found[2]) - number(found[1])
        elif found := re.search(
            r"^(?:Dropped|Skipped|Added up)(?: [\d,]+ users \(| )([\d,]+) (?:pairs|repeated|empty|stored|entries)", note
        ):
            total += number(found[1])
    return total


@st.composite
def dressed(draw, lines):
    """Lines as the bytes of a file, and how many blank lines are among them behind the first."""
    leading, blank = draw(st.integers(0, 2)), draw(st.lists(st.integers(1, len(lines)), max_size=3))
    for place in sorted(blank, reverse=True):
        lines = [*lines[:place], "", *lines[place:]]
    end = draw(st.sampled_from(["\n", "\r\n"]))
    text = end * leading + end.join(lines) + end
    if lines[-1] and draw(st.booleans()):
        text = text.removesuffix(end)
    content = text.encode("utf-8-sig" if draw(st.booleans()) else "utf-8")
    packing = draw(st.sampled_from(["plain", "plain", "gzip", "gzip in two members"]))
    if packing == "gzip":
        content = gzip.compress(content)
    elif packing == "gzip in two members":
        cut = draw(st.integers(0, len(content)))
        content = gzip.compress(content[:cut]) + gzip.compress(content[cut:])
    return content, len(blank)


@st.composite
def text_file(draw, rows, format):
    """Content of a text file of the rows, and how many blank lines it has."""
    if format == "echonest":
        return draw(dressed([f"{user}\t{item}\t{rating:g}" for user, item, rating, _ in rows]))
    if format in ("u.data", "ratings.dat"):
        return draw(dressed([("\t" if format == "u.data" else "::").join(map(str, row)) for row in rows]))
    names = ["userId", "movieId", "rating", "timestamp"] if format == "ratings.csv" else ["u", "the item", "r", "t"]
    columns = draw(st.permutations([0, 1, 2, 3, 4]))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))

    def line(fields):
        written = io.StringIO()
        writer = csv.writer(written, delimiter="\t" if format == "tsv" else ",", quoting=quoting, lineterminator="")
        writer.writerow([fields[column] for column in columns])
        return written.getvalue()

    return draw(dressed([line([*names, "more"]), *(line([*row, "ä,\tß"]) for row in rows)]))


@st.composite
def parquet_file(draw, rows):
    """Content of a Parquet file of the rows; ids are of one of the types that hold them."""
    frame = pl.DataFrame(
        rows, schema={"u": pl.String, "the item": pl.String, "r": pl.Float64, "t": pl.Int64}, orient="row"
    )
    for name in ("u", "the item"):
        numbers = frame[name].cast(pl.Int64, strict=False)
        fits = (numbers.cast(pl.String) == frame[name]).fill_null(False).all()
        frame = frame.with_columns(
            pl.col(name).cast(draw(st.sampled_from([pl.String, pl.Categorical, *([pl.Int64] if fits else [])])))
        )
    written = io.BytesIO()
    frame.write_parquet(
        written,
        compression=draw(st.sampled_from(["zstd", "snappy", "uncompressed"])),
        row_group_size=draw(st.sampled_from([None, 7])),
    )
    return written.getvalue()


@st.composite
def npz_file(draw, rows):
    """Content of a sparse matrix with an entry a row, and the rows that are left once equal places are added up."""
    users, items, values, _ = zip(*rows, strict=True)
    places = [int(user) for user in users], [int(item) for item in items]
    num_users, num_items = max(places[0]) + 1, max(places[1]) + 1
    matrix = scipy.sparse.coo_array((values, places), shape=(num_users, num_items))
    if len(set(zip(*places, strict=True))) == len(rows) and num_users < 10**5:  # rows, and their pointers, are few
        matrix = matrix.asformat(draw(st.sampled_from(["coo", "csr"])))
    written = io.BytesIO()
    scipy.sparse.save_npz(written, matrix, compressed=draw(st.booleans()))
    sums = collections.Counter()
    for user, item, value, _ in rows:
        sums[user, item] += value
    return written.getvalue(), [(*pair, value, 0) for pair, value in sums.items() if value]

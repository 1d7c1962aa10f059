"""Public data sets by name: where they are published, under which terms, and how their files are read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Remote(NamedTuple):
    """A file that is downloaded.

    Attributes:
        url: of the file.
        checksum: 'md5:', 'sha256:', or 'git:' and the object id that git gives a file of this content; None where none
            is known, and the first download's is kept instead.
        member: the one file of a zip archive that is needed; None where the download is that file.
        kept_as: name of the download in the cache; None for the last part of the URL.
    """

    url: str
    checksum: str | None
    member: str | None = None
    kept_as: str | None = None

    @property
    def name(self) -> str:
        """Name of the file that is read."""
        return (self.member or self.url).rpartition("/")[2]

    @property
    def download(self) -> str:
        """Name of the download in the cache."""
        return self.kept_as or self.url.rpartition("/")[2]


class Source(NamedTuple):
    """Where a data set comes from.

    Attributes:
        files: what is downloaded; several files are read as a folder.
        recipe: options of `datasets.load` where they are left out: 'format', and fields of `DataOptions`.
        page: where its publisher describes it.
        terms: under which it may be used, in words.
        citation: what its publisher asks users to cite.
        sizes: users, items and pairs, where its files were counted.
    """

    files: tuple[Remote, ...]
    recipe: Mapping[str, Any]
    page: str
    terms: str
    citation: str
    sizes: tuple[int, int, int] | None = None

    @property
    def format(self) -> str:
        """How the files are read, a key of `readers.READERS`."""
        return self.recipe["format"]

    def at(self, path: Path) -> Path | None:
        """The one file, or the folder of several, at a path that is it or a folder that holds it; None for others."""
        names = [file.name for file in self.files]
        if path.is_dir():
            whole = all((path / name).is_file() for name in names)
            return (path if len(names) > 1 else path / names[0]) if whole else None
        return path if names == [path.name] else None


_HARPER = (
    "F. M. Harper and J. A. Konstan, The MovieLens Datasets: History and Context, ACM TiiS 5(4), 2015, "
    "doi 10.1145/2827872"
)
_LIGHTGCN = (
    "X. He et al., LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation, SIGIR 2020, "
    "doi 10.1145/3397271.3401063"
)
# A commit, so that the files stay what they are.
_LIGHTGCN_DATA = (
    "https://raw.githubusercontent.com/gusye1234/LightGCN-PyTorch/947ca2b3b1d2d3545b114145710cb06c4e57b3d2/data"
)


def _movielens(size: str, md5: str, member: str) -> Source:
    return Source(
        files=(Remote(f"https://files.grouplens.org/datasets/movielens/ml-{size}.zip", f"md5:{md5}", member),),
        recipe={"format": "movielens"},
        page="https://grouplens.org/datasets/movielens",
        terms="research; not to be passed on, no commercial use without permission",
        citation=_HARPER,
    )


def _lightgcn(name: str, train: str, test: str, data: str, sizes: tuple[int, int, int] | None = None) -> Source:
    return Source(
        files=tuple(
            Remote(f"{_LIGHTGCN_DATA}/{name}/{part}.txt", f"git:{blob}")
            for part, blob in (("train", train), ("test", test))
        ),
        recipe={"format": "adjacency"},
        page="https://github.com/gusye1234/LightGCN-PyTorch",
        terms="none stated with the split; those of the data it is made of",
        citation=f"{data}; the split: {_LIGHTGCN}",
        sizes=sizes,
    )


SOURCES: dict[str, Source] = {
    "movielens-100k": _movielens("100k", "0e33842e24a9c977be4e0107933c0723", "ml-100k/u.data"),
    "movielens-1m": _movielens("1m", "c4d9eecfca2ab87c1945afe126590906", "ml-1m/ratings.dat"),
    "movielens-10m": _movielens("10m", "ce571fd55effeba0271552578f2648bd", "ml-10M100K/ratings.dat"),
    "movielens-20m": _movielens("20m", "cd245b17a1ae2cc31bb14903e1204af3", "ml-20m/ratings.csv"),
    "movielens-25m": _movielens("25m", "6b51fb2759a8657d3bfcbfc42b592ada", "ml-25m/ratings.csv"),
    "movielens-32m": _movielens("32m", "d472be332d4daa821edc399621853b57", "ml-32m/ratings.csv"),
    "gowalla": _lightgcn(
        "gowalla",
        "a27782bd7a1d4d0744148dc0460ea94da74763f2",
        "9ed5af4b5d21511f33740b4e22e3852f45671800",
        "E. Cho, S. A. Myers and J. Leskovec, Friendship and Mobility, KDD 2011, doi 10.1145/2020408.2020579",
        (29_858, 40_981, 1_027_370),
    ),
    "yelp2018": _lightgcn(
        "yelp2018",
        "cda12361055ba448ae4bd1070f6000c16dea8f22",
        "30dfbc3437b27b74cb2970b435a5ec93ad9f2468",
        "Yelp Dataset Challenge 2018",
        (31_668, 38_048, 1_561_406),
    ),
    "amazon-book": _lightgcn(
        "amazon-book",
        "6ef55159c5f1fd7f6d86eb9ff290d0cc2854ac99",
        "09e5da4e0bf46c751c4ba0f4375e414fd13512cd",
        "R. He and J. McAuley, Ups and Downs, WWW 2016, doi 10.1145/2872427.2883037",
    ),
    "lastfm-2k": Source(
        files=(
            Remote(
                "https://files.grouplens.org/datasets/hetrec2011/hetrec2011-lastfm-2k.zip",
                "sha256:6738f48195667ff03caaab4d32ca9a3133d8cc026b7c3cdaf6ce1010e913c59c",
                "user_artists.dat",
            ),
        ),
        recipe={"format": "tsv", "user_column": "userID", "item_column": "artistID"},
        page="https://grouplens.org/datasets/hetrec-2011",
        terms="non-commercial",
        citation=(
            "I. Cantador, P. Brusilovsky and T. Kuflik, 2nd Workshop on Information Heterogeneity and Fusion in "
            "Recommender Systems, RecSys 2011, doi 10.1145/2043932.2044016"
        ),
    ),
    "steam-200k": Source(
        files=(
            Remote(
                "https://www.kaggle.com/api/v1/datasets/download/tamber/steam-video-games",
                None,
                "steam-200k.csv",
                kept_as="steam-video-games.zip",
            ),
        ),
        recipe={"format": "csv", "separator": ",", "header": False, "user_column": "1", "item_column": "2"},
        page="https://www.kaggle.com/datasets/tamber/steam-video-games",
        terms="those of its page",
        citation="Tamber, Steam Video Games, Kaggle 2017",
    ),
    "citeulike-a": Source(
        files=(
            Remote(
                "https://raw.githubusercontent.com/js05212/citeulike-a/91b603922d7f2d3db18071d4798bf78c9c5d1680/users.dat",
                "git:01c329a6df4e883f3282421557543a547eada9de",
            ),
        ),
        recipe={"format": "adjacency", "first_number": "count"},
        page="https://github.com/js05212/citeulike-a",
        terms="none stated; to be cited",
        citation=(
            "H. Wang, B. Chen and W.-J. Li, Collaborative Topic Regression with Social Regularization for Tag "
            "Recommendation, IJCAI 2013"
        ),
        sizes=(5_551, 16_980, 204_986),
    ),
    "book-crossing": Source(
        files=(
            Remote(
                "http://www2.informatik.uni-freiburg.de/~cziegler/BX/BX-CSV-Dump.zip",
                "md5:37d647ee9e18ba134ea6d78ee4fe5292",
                "BX-Book-Ratings.csv",
            ),
        ),
        recipe={
            "format": "csv",
            "separator": ";",
            "encoding": "latin-1",
            "user_column": "User-ID",
            "item_column": "ISBN",
        },
        page="https://grouplens.org/datasets/book-crossing",
        terms="research, to be cited",
        citation=(
            "C.-N. Ziegler, S. M. McNee, J. A. Konstan and G. Lausen, Improving Recommendation Lists Through Topic "
            "Diversification, WWW 2005, doi 10.1145/1060745.1060754"
        ),
    ),
    "taste-profile": Source(
        files=(
            Remote(
                "http://millionsongdataset.com/sites/default/files/challenge/train_triplets.txt.zip",
                None,
                "train_triplets.txt",
            ),
        ),
        # The paper's recipe (Tran et al. 2019, section 4.1): play counts of 10 and more, then users with 10 such songs.
        recipe={"format": "echonest", "min_rating": 10.0, "min_user_items": 10},
        page="http://millionsongdataset.com/tasteprofile",
        terms="research",
        citation=(
            "T. Bertin-Mahieux, D. P. W. Ellis, B. Whitman and P. Lamere, The Million Song Dataset, ISMIR 2011, "
            "doi 10.7916/D8NZ8J07"
        ),
    ),
}
"""Data sets that are downloaded, by name."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mailworker.tls.folder_files import LONGEST, File, Walk
from mailworker.tls.folder_units import PairData, pairs_of, units, wanted
from tests.process.tls.folders import put
from tests.support.certificates import Certificate, CertificateAuthority, PrivateKey, ecdsa_key, rsa_key
from tests.support.cpu_time import CpuTime


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Certificate]:
    maker = CertificateAuthority(tmp_path_factory.mktemp("made"))
    keys: dict[str, PrivateKey] = {"a": ecdsa_key(), "b": ecdsa_key(), "rsa": rsa_key()}
    return {name: maker.issue_server(name, key, (f"{name}.example",)) for name, key in keys.items()}


def found(folder: Path) -> dict[str, tuple[list[tuple[str, str]], dict[str, str]]]:
    """By unit: the pairs' files, and what is wrong; all without the folder."""
    result = {}
    for unit, files in units(Walk(str(folder), wanted).files).items():
        pairs, faults, _ = pairs_of(files)

        def short(path: str) -> str:
            return path.removeprefix(f"{folder}/")

        names = [(short(pair.data.path), short(pair.data.key_path)) for pair in pairs]
        result[short(unit)] = names, {short(path): fault for path, fault in faults.items()}
    return result


@pytest.mark.parametrize(
    ("files", "unit"),
    [
        (("a.example.crt", "a.example.key"), "a.example"), (("a.example.pem", ""), "a.example"),
        (("fullchain.pem", "privkey.pem"), ""), (("fullchain.cer", "a.example.key"), ""),
        (("tls.crt", "tls.key"), ""), (("fullchain3.pem", "privkey3.pem"), ""), (("x.crt", "y.key"), ""),
    ],
)  # fmt: skip
def test_layouts_are_read(tmp_path: Path, made: dict[str, Certificate], files: tuple[str, str], unit: str) -> None:
    put(made["a"], tmp_path, *files)
    path, key = files
    assert found(tmp_path) == {unit: ([(path, key or path)], {})}


def test_the_whole_chain_is_preferred_and_its_parts_are_passed_over(
    tmp_path: Path, made: dict[str, Certificate]
) -> None:
    put(made["a"], tmp_path, "a.example.cer", "a.example.key")
    put(made["b"], tmp_path, "ca.cer", "unused")
    leaf = made["a"].certificate.read_bytes()
    (tmp_path / "fullchain.cer").write_bytes(leaf + made["b"].certificate.read_bytes())
    assert found(tmp_path) == {"": ([("fullchain.cer", "a.example.key")], {})}


def test_a_part_of_a_chain_that_comes_later_does_not_replace_it(tmp_path: Path, made: dict[str, Certificate]) -> None:
    put(made["a"], tmp_path, "z.cer", "a.example.key")
    leaf = made["a"].certificate.read_bytes()
    (tmp_path / "fullchain.cer").write_bytes(leaf + made["b"].certificate.read_bytes())
    assert found(tmp_path) == {"": ([("fullchain.cer", "a.example.key")], {})}


@pytest.mark.parametrize("kind", ["traditional", "pkcs8"])
@pytest.mark.parametrize("name", ["a", "rsa"])
def test_keys_of_all_forms_are_read(tmp_path: Path, made: dict[str, Certificate], kind: str, name: str) -> None:
    key = str(made[name].key)
    program = ["pkey"] if kind == "pkcs8" else ["rsa", "-traditional"] if name == "rsa" else ["ec"]
    subprocess.run(["openssl", *program, "-in", key, "-out", str(tmp_path / "x.key")], check=True, capture_output=True)
    (tmp_path / "x.crt").write_bytes(made[name].certificate.read_bytes())
    assert found(tmp_path) == {"x": ([("x.crt", "x.key")], {})}


@pytest.mark.parametrize(
    ("files", "faults"),
    [
        ({"a.crt": "a"}, {"a.crt": "is a certificate without its key"}),
        ({"a.key": "a key"}, {"a.key": "is the key of no certificate beside it"}),
        ({"a.crt": "a", "a.key": "b key"},
         {"a.crt": "is a certificate without its key", "a.key": "is the key of no certificate beside it"}),
        ({"a.crt": "nothing", "a.key": "a key"}, {"a.crt": "holds no certificate and no key"}),
        ({"a.crt": "broken", "a.key": "a key"}, {"a.crt": "holds a broken certificate or key"}),
        ({"a.crt": "a", "a.key": "locked"},
         {"a.key": "holds a key that needs a password, or is of no known kind",
          "a.crt": "is a certificate without its key"}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_and_never_quoted(
    tmp_path: Path, made: dict[str, Certificate], files: dict[str, str], faults: dict[str, str]
) -> None:
    for name, content in files.items():
        texts = {
            "nothing": b"Secret",
            "broken": b"-----BEGIN CERTIFICATE-----\nU2VjcmV0\n-----END CERTIFICATE-----\n",
            "locked": b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nU2VjcmV0\n-----END ENCRYPTED PRIVATE KEY-----\n",
        }
        pair, _, key = content.partition(" ")
        data = texts.get(content)
        if data is None:
            data = (made[pair].key if key else made[pair].certificate).read_bytes()
        (tmp_path / name).write_bytes(data)
    ((_, told),) = found(tmp_path).values()
    assert told == faults
    assert "Secret" not in str(told)


def test_a_crowd_without_telling_names_is_left_out(tmp_path: Path, made: dict[str, Certificate]) -> None:
    for number in range(65):
        (tmp_path / f"{number}.key").write_bytes(made["a"].key.read_bytes())
    ((pairs, faults),) = found(tmp_path).values()
    assert (pairs, len(faults)) == ([], 65)


def test_in_a_crowd_pairs_are_told_by_their_names_whatever_lies_beside_them(
    tmp_path: Path, made: dict[str, Certificate]
) -> None:
    for number in range(40):
        put(made["a"], tmp_path, f"{number}.example.crt", f"{number}.example.key")
    put(made["b"], tmp_path, "chain.pem", "a.txt")
    put(made["b"], tmp_path, "ca.crt", "a.txt")
    seen = found(tmp_path)
    assert sum(len(pairs) for pairs, _ in seen.values()) == 40
    assert {path: fault for _, faults in seen.values() for path, fault in faults.items()} == {}


def test_a_file_of_beginnings_takes_no_longer_than_another_of_its_size(tmp_path: Path) -> None:
    """A user to whom the folder belongs could keep the master busy for half an hour."""
    line = b"-----BEGIN CERTIFICATE-----\n"
    (tmp_path / "a.pem").write_bytes(line * (LONGEST // len(line)))
    with CpuTime() as took:
        assert found(tmp_path) == {"a": ([], {"a.pem": "holds no certificate and no key"})}
    assert took.seconds < 10


def test_a_pair_shows_no_key() -> None:
    assert repr(PairData("p", "k", b"leaf", (), b"PRIVATE KEY", b"secret")) == "PairData('p')"
    assert str(File("a", "b", 1, 2, 3, 4))

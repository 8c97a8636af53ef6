"""How verification reads: headers alone, some contrasts, several processes, files that cannot be read."""

from __future__ import annotations

from pipeline.datalist import InputError
from pipeline.verify import verify


def test_quick_reads_headers_only(tiny_cohort) -> None:
    content = bytearray(tiny_cohort.path().read_bytes())
    content[-20] ^= 1  # behind the header
    tiny_cohort.path().write_bytes(content)
    assert verify(tiny_cohort.load(), quick=True) == []
    assert [it.code for it in verify(tiny_cohort.load())] == ["corrupt_file"]


def test_contrasts_limit_what_is_read_and_are_demanded(tiny_cohort) -> None:
    datalist = tiny_cohort.load()
    datalist.path(datalist.exams[0], "t2").unlink()
    assert verify(datalist, contrasts=["pre", "post1"], quick=True) == []
    issues = verify(datalist, contrasts=["pre", "post2"], quick=True)
    assert {(it.severity, it.code, it.image) for it in issues} == {("error", "missing_phase", "post2")}
    assert len(issues) == len(datalist.exams)


def test_workers_do_not_change_the_answer(tiny_cohort) -> None:
    tiny_cohort.path(5, "t2").unlink()
    tiny_cohort.path(2).write_bytes(b"")
    assert verify(tiny_cohort.load(), workers=1) == verify(tiny_cohort.load(), workers=4)


def test_an_unreadable_format_does_not_stop_the_rest(tiny_cohort, monkeypatch) -> None:
    def broken(path):
        raise MemoryError if path.name == "pre.nii.gz" else InputError("no", code="something new")

    monkeypatch.setattr("pipeline.verify.reading.read_image", broken)
    issues = verify(tiny_cohort.load())
    assert {it.code for it in issues} == {"unreadable_file"} and len(issues) == 36
    assert any("(MemoryError)" in it.reason for it in issues)

from tulle.policies.problems import Problem, did_you_mean, has_errors, path_text


def problem(severity: str = "error", **changes: object) -> Problem:
    values: dict[str, object] = {
        "code": "schema",
        "severity": severity,
        "path": "spec.hosts",
        "file": "a.yaml",
        "line": 7,
        "message": "must be a list",
    }
    return Problem(**(values | changes))  # type: ignore[arg-type]


def test_reads_as_compilers_say_it() -> None:
    assert str(problem()) == "a.yaml:7: error: spec.hosts: must be a list [schema]"
    assert str(problem(file="", line=0, path="")) == "error: must be a list [schema]"


def test_only_errors_refuse() -> None:
    assert not has_errors([problem("warning")])
    assert has_errors([problem("warning"), problem("error")])


def test_paths_read_as_users_write_them() -> None:
    assert path_text(("spec", "http", 0, "match", 12, "uri")) == "spec.http[0].match[12].uri"
    assert path_text(("metadata", "annotations", "a.b/c")) == 'metadata.annotations["a.b/c"]'
    assert path_text(()) == ""


def test_near_misses_are_named_and_far_ones_not() -> None:
    assert did_you_mean("VirtualServce", ["Gateway", "VirtualService"]) == (
        ' Did you mean "VirtualService"?'
    )
    assert did_you_mean("gateway", ["Gateway"]) == ' Did you mean "Gateway"?'
    assert did_you_mean("zzz", ["Gateway", "VirtualService"]) == ""
    assert did_you_mean("x", []) == ""

from service.engine.export_command import widened


def test_a_flag_keeps_its_place_and_gets_the_other_value() -> None:
    command = "tenantry export m --max-rank 8 --out d"
    assert widened(command, {"--max-rank": "32"}) == "tenantry export m --max-rank 32 --out d"
    command = "tenantry export m --max-rank=8 --out d"
    assert widened(command, {"--max-rank": "32"}) == "tenantry export m --max-rank 32 --out d"


def test_a_flag_that_is_not_there_comes_last() -> None:
    command = widened("tenantry export m --out d", {"--targets": "all-linear"})
    assert command == "tenantry export m --out d --targets all-linear"


def test_paths_with_spaces_stay_one_word() -> None:
    command = widened("tenantry export 'my model' --max-rank 8", {"--max-rank": "9"})
    assert command == "tenantry export 'my model' --max-rank 9"


def test_a_command_that_no_shell_would_read_is_widened_all_the_same() -> None:
    assert widened("tenantry export it's", {"--max-rank": "9"}).endswith("--max-rank 9")

"""Reading TSPLIB files, measuring routes by their rules, drawing them."""

import io
import json
from pathlib import Path
from xml.etree import ElementTree

import draw
import pytest
from tsplib import BERLIN52, BERLIN52_OPTIMUM, distance, read_cities, tour_length

SVG = "{http://www.w3.org/2000/svg}"


def test_the_published_optimal_tour_has_the_published_length(optimal_route: list[int]) -> None:
    assert tour_length(read_cities(BERLIN52), optimal_route) == 7542 == BERLIN52_OPTIMUM


def test_distances_are_rounded_to_the_nearest_integer() -> None:
    assert distance((565, 575), (25, 185)) == 666  # sqrt(540² + 390²) = 666.108
    assert distance((0, 0), (0.3, 0.4)) == 1  # 0.5 is rounded up
    assert distance((0, 0), (1, 1)) == 1  # 1.414


@pytest.mark.parametrize("route", [[1, 2], [1, 2, 2], [0, 1, 2], [1, 2, 3, 4]])
def test_a_route_that_does_not_visit_each_city_once_has_no_length(route: list[int]) -> None:
    with pytest.raises(ValueError, match="each of the 3 cities exactly once"):
        tour_length([(0, 0), (3, 0), (0, 4)], route)


def test_a_file_with_fewer_cities_than_it_says_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "short.tsp"
    file.write_text("DIMENSION: 3\nEDGE_WEIGHT_TYPE: EUC_2D\nNODE_COORD_SECTION\n1 0 0\n2 3 0\nEOF\n")
    with pytest.raises(ValueError, match="expected 3 cities, found 2"):
        read_cities(file)


def test_a_file_with_distances_of_another_type_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "geo.tsp"
    file.write_text("DIMENSION : 1\nEDGE_WEIGHT_TYPE : GEO\nNODE_COORD_SECTION\n1 38.24 20.42\nEOF\n")
    with pytest.raises(ValueError, match="EUC_2D, found GEO"):
        read_cities(file)


def test_spaces_before_the_colon_are_read_too(tmp_path: Path) -> None:
    file = tmp_path / "two.tsp"
    file.write_text("DIMENSION : 2\nEDGE_WEIGHT_TYPE : EUC_2D\nNODE_COORD_SECTION\n1 0.5 1e2\n2 3 0\n")
    assert read_cities(file) == [(0.5, 100.0), (3.0, 0.0)]


def test_the_drawing_joins_all_cities_and_names_the_length(
    tmp_path: Path, optimal_route: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    result, drawing = tmp_path / "result.json", tmp_path / "berlin52.svg"
    result.write_text(json.dumps({"length": 1, "route": optimal_route}))  # the length that counts is the route's own
    assert draw.main([str(result), str(drawing), "--within", "0"]) == 0
    assert capsys.readouterr().out == f"berlin52: length 7542, 0.00% over the optimum 7542; drawn in {drawing}\n"
    picture = ElementTree.parse(drawing).getroot()
    polygon = picture.find(f"{SVG}polygon")
    assert polygon is not None
    assert len(set(polygon.attrib["points"].split())) == 52
    assert len(picture.findall(f"{SVG}g/{SVG}circle")) == 52
    assert picture.findtext(f"{SVG}title") == "berlin52: length 7542, 0.00% over the optimum 7542"


def test_north_is_up() -> None:
    picture = ElementTree.fromstring(draw.svg([(0, 0), (0, 100), (50, 0)], [1, 2, 3], "three"))
    south, north, _ = picture.findall(f"{SVG}g/{SVG}circle")
    assert float(north.attrib["cy"]) == float(south.attrib["cy"]) - 100


def test_a_route_over_the_limit_is_drawn_but_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_file_order = list(range(1, 53))  # 22205 long: 194.42% over
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"route": in_file_order})))
    assert draw.main(["-", str(tmp_path / "bad.svg"), "--within", "5"]) == 1
    printed = capsys.readouterr()
    assert "length 22205, 194.42% over" in printed.out
    assert "not within 5%" in printed.err
    assert (tmp_path / "bad.svg").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"route": null}', '{"route": [1, 2]}', '"route"', "7542"])
def test_what_is_no_result_is_refused_in_one_line(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert draw.main(["-", str(tmp_path / "none.svg")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "none.svg").exists()

"""What a Pascal VOC file says, in the spellings that people have; and what is refused because nobody can be sure."""

from pathlib import Path

import pytest
from boxed_photos import annotate, boxes_in, draw, named_box, prepared
from hypothesis import given, settings
from hypothesis import strategies as st

from block.errors import BlockError
from block.photos.voc_file import read_voc

BOX = (20, 30, 50, 70)
EDGES = "<xmin>20</xmin><ymin>30</ymin><xmax>50</xmax><ymax>70</ymax>"
CAT = named_box("cat", BOX)


@pytest.fixture
def photos(tmp_path):
    for number in range(11):
        draw(tmp_path / "photos" / f"{number:02}.png", BOX)
        annotate(tmp_path / "photos" / f"{number:02}.xml", ("cat", BOX))
    draw(tmp_path / "photos" / "x.png", BOX)
    return tmp_path / "photos"


def test_plain_file_is_read(photos, tmp_path):
    (photos / "x.xml").write_text(f"<annotation>{CAT}</annotation>")
    prepared(photos, tmp_path / "out")
    assert boxes_in(tmp_path / "out")["x.png"] == [("cat", 20, 30, 30, 40)]


SURE = {
    "namespace": f'<annotation xmlns="http://example.org/voc">{CAT}</annotation>',
    "prefix": (
        '<v:annotation xmlns:v="urn:voc"><v:object><v:name>cat</v:name><v:bndbox><v:xmin>20</v:xmin><v:ymin>30</v:ymin>'
        "<v:xmax>50</v:xmax><v:ymax>70</v:ymax></v:bndbox></v:object></v:annotation>"
    ),
    "capitals": (
        "<Annotation><Object><Name>cat</Name><BndBox><XMin>20</XMin><YMin>30</YMin><XMax>50</XMax><YMax>70</YMax></BndBox>"
        "</Object></Annotation>"
    ),
    "list of objects": f"<annotation><objects>{CAT}</objects></annotation>",
    "objects in an object": f"<annotation><object>{CAT}</object></annotation>",
    "wrapped annotation": f"<annotations><annotation>{CAT}</annotation></annotations>",
    "another root": f"<root><annotation><size><width>96</width><height>96</height></size>{CAT}</annotation></root>",
    "no bndbox": f"<annotation><object><name>cat</name>{EDGES}</object></annotation>",
    "deeper bndbox": f"<annotation><object><name>cat</name><at><bndbox>{EDGES}</bndbox></at></object></annotation>",
    "attributes": (
        '<annotation><object name="cat"><bndbox xmin="20" ymin="30" xmax="50" ymax="70"/></object></annotation>'
    ),
    "numbered polygon": (
        "<annotation><object><name>cat</name><polygon><x1>20</x1><y1>40</y1><x2>50</x2><y2>30</y2><x3>35</x3><y3>70</y3>"
        "</polygon></object></annotation>"
    ),
    "polygon of points": (
        "<annotation><object><name>cat</name><deleted>0</deleted><polygon><username>me</username><pt><x>20</x><y>40</y>"
        "</pt><pt><x>50</x><y>30</y></pt><pt><x>35</x><y>70</y></pt></polygon></object>"
        "<imagesize><nrows>96</nrows><ncols>96</ncols></imagesize></annotation>"
    ),
    "box and polygon": (
        f"<annotation><object><name>cat</name><bndbox>{EDGES}</bndbox><polygon><x1>0</x1><y1>0</y1><x2>9</x2><y2>9</y2>"
        "<x3>1</x3><y3>2</y3></polygon></object></annotation>"
    ),
    "part with a box": (
        f"<annotation><object><name>cat</name><part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax>"
        f"<ymax>2</ymax></bndbox></part><bndbox>{EDGES}</bndbox></object></annotation>"
    ),
    "deleted object": (
        f"<annotation><object><name>dog</name><deleted>1</deleted><bndbox>{EDGES}</bndbox></object>{CAT}</annotation>"
    ),
    "blanks": f"<annotation>\n {CAT.replace('cat', ' cat ').replace('20', ' 20 ')}\n</annotation>",
    "other metadata": f"<annotation verified='yes'><camera><model>X</model></camera>{CAT}</annotation>",
    "encoding": f"<?xml version='1.0' encoding='utf-16'?><annotation>{CAT}</annotation>",
}


@pytest.mark.parametrize("spelling", SURE)
def test_other_spellings_are_read_where_they_are_sure(photos, tmp_path, spelling):
    (photos / "x.xml").write_bytes(SURE[spelling].encode("utf-16" if spelling == "encoding" else "utf-8"))
    assert prepared(photos, tmp_path / "out").preparation.skipped == {}
    assert boxes_in(tmp_path / "out")["x.png"] == [("cat", 20, 30, 30, 40)]


NOT_SURE = {
    "another format": (
        '<annotations><image id="0"><box label="cat" xtl="1"/></image></annotations>',
        "no <annotation>",
    ),
    "several annotations": (
        f"<all><annotation>{CAT}</annotation><annotation>{CAT}</annotation></all>",
        "2 annotations",
    ),
    "several photos": (
        f"<annotation><filename>x.png</filename>{CAT}<filename>y.png</filename></annotation>",
        "several photos, such as x.png and y.png",
    ),
    "another tag": (
        f"<annotation><item><name>cat</name><bndbox>{EDGES}</bndbox></item></annotation>",
        "<bndbox> is not",
    ),
    "one tag of several": (
        f"<annotation>{CAT}<item><bndbox>{EDGES}</bndbox></item></annotation>",
        "<bndbox> is not in",
    ),
    "an object beside the annotation": (
        "<all><annotation><size/></annotation><object><name>cat</name></object></all>",
        "'cat' with xmin None",
    ),
    "a box beside the annotation": (
        f"<all><annotation><size/></annotation><bndbox>{EDGES}</bndbox></all>",
        "<bndbox> is not in",
    ),
    "content beside the annotation": (
        "<all><annotation><size/></annotation><things><thing>cat</thing></things></all>",
        "<things>, which is not",
    ),
    "unknown content": ("<annotation><things><thing>cat</thing></things></annotation>", "<things>, which is not"),
    "attributes of unknown content": ('<annotation><thing x="1" y="2"/></annotation>', "<thing>, which is not"),
    "text": ("<annotation>cat 20 30 50 70</annotation>", "the text 'cat 20 30 50 70'"),
    "no name": (f"<annotation><object><bndbox>{EDGES}</bndbox></object></annotation>", "box '' with xmin 20"),
    "no box": ("<annotation><object><name>cat</name></object></annotation>", "'cat' with xmin None"),
    "rotated box": (
        "<annotation><object><name>cat</name><robndbox><cx>3</cx></robndbox></object></annotation>",
        "'cat' with xmin None",
    ),
    "a missing edge": (
        "<annotation><object><name>cat</name><bndbox><xmin>2</xmin></bndbox></object></annotation>",
        "ymin None",
    ),
    "no number": (f"<annotation>{CAT.replace('50', 'wide')}</annotation>", "xmax wide"),
    "not finite": (f"<annotation>{CAT.replace('50', 'inf')}</annotation>", "xmax inf"),
    "two boxes": (
        f"<annotation>{CAT.replace('</bndbox>', f'</bndbox><bndbox>{EDGES}</bndbox>')}</annotation>",
        "2 boxes",
    ),
    "two names": (f"<annotation>{CAT.replace('<bndbox>', '<name>dog</name><bndbox>')}</annotation>", "'cat' and 'dog'"),
    "two left edges": (f"<annotation>{CAT.replace('<xmin>', '<xmin>7</xmin><xmin>')}</annotation>", "several <xmin>"),
    "object within an object": (
        f"<annotation><object><name>dog</name>{CAT}</object></annotation>",
        "an object within an object",
    ),
    "two corners of a polygon": (
        "<annotation><object><name>cat</name><polygon><x1>1</x1><y1>2</y1><x2>3</x2><y2>4</y2></polygon></object>"
        "</annotation>",
        "polygon of its object 'cat'",
    ),
    "damage": ("<annotation><object>", "no element found"),
    "nothing": ("", "no element found"),
}


@pytest.mark.parametrize("content", NOT_SURE)
def test_content_that_is_not_understood_is_never_background(photos, tmp_path, content):
    text, words = NOT_SURE[content]
    (photos / "x.xml").write_text(text)
    skipped = prepared(photos, tmp_path / "out").preparation.skipped
    assert list(skipped) == ["x.png"] and "x.xml" in skipped["x.png"] and words in skipped["x.png"]
    assert sorted(boxes_in(tmp_path / "out")) == [f"{number:02}.png" for number in range(11)]
    (photos / "10.xml").write_text(text)
    with pytest.raises(BlockError, match=r"The labels of 2 of 12 photos .*10\.png: 10\.xml .*x\.png: x\.xml"):
        prepared(photos, tmp_path / "out")


@pytest.mark.parametrize(
    "text",
    [
        "<annotation/>",
        "<Annotation xmlns='urn:voc'><folder>a</folder><filename>x.png</filename><source><database>D</database>"
        "<annotation>PASCAL</annotation></source><owner><name>me</name></owner><segmented>0</segmented></Annotation>",
        "<annotation><object><name>cat</name><deleted>1</deleted></object><note>nothing here</note></annotation>",
        "<root><data><annotation><size><width>96</width><height>96</height></size></annotation></data></root>",
    ],
)
def test_file_without_objects_is_background(photos, tmp_path, text):
    (photos / "x.xml").write_text(text)
    assert prepared(photos, tmp_path / "out").preparation.skipped == {}
    assert boxes_in(tmp_path / "out")["x.png"] == []


def test_classes_need_no_boxes(photos, tmp_path):
    for number in range(11):
        label = ("cat", "dog")[number % 2]
        (photos / f"{number:02}.xml").write_text(f"<annotation><object><name>{label}</name></object></annotation>")
    (photos / "x.xml").write_text(f"<annotation><object><bndbox>{EDGES}</bndbox></object></annotation>")
    result = prepared(photos, tmp_path / "out", task="classification", labels_from="voc")
    assert result.classes == ("cat", "dog") and list(result.preparation.skipped) == ["x.png"]
    assert {label: sum(counts[label] for counts in result.counts.values()) for label in result.classes} == {
        "cat": 6,
        "dog": 5,
    }


def test_unread_files_do_not_matter_where_folders_give_the_classes(tmp_path):
    for number in range(8):
        draw(tmp_path / "photos" / ("cats", "dogs")[number % 2] / f"{number}.png", BOX)
        (tmp_path / "photos" / ("cats", "dogs")[number % 2] / f"{number}.xml").write_text("<camera>X</camera>")
    result = prepared(tmp_path / "photos", tmp_path / "out", task=None)
    assert (result.task, result.classes, result.preparation.skipped) == ("classification", ("cats", "dogs"), {})


tags = st.sampled_from(["annotation", "object", "name", "bndbox", "xmin", "size", "part", "polygon", "x1", "filename"])
trees = st.recursive(
    st.tuples(tags, st.sampled_from(["", "1", "cat", "nan", "a/b"])).map(lambda each: "<{0}>{1}</{0}>".format(*each)),
    lambda inner: st.tuples(tags, st.lists(inner, max_size=4)).map(
        lambda each: f"<{each[0]}>{''.join(each[1])}</{each[0]}>"
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(trees)
def test_any_xml_is_read_or_refused_with_its_name(tmp_path_factory, text):
    path = Path(tmp_path_factory.getbasetemp()) / "any.xml"
    path.write_text(text)
    try:
        content = read_voc(path, "any.xml")
    except BlockError as error:
        assert str(error).startswith("any.xml cannot be read as Pascal VOC: ")
    else:
        assert content.objects or "<polygon>" not in text


def test_deeply_nested_xml_is_read_in_time(tmp_path):
    path = tmp_path / "deep.xml"
    path.write_text("<annotation>" + "<object>" * 3000 + CAT + "</object>" * 3000 + "</annotation>")
    (found,) = read_voc(path, "deep.xml").objects
    assert found.label == "cat"


def test_a_file_of_many_photos_is_not_read_into_memory(tmp_path):
    path = tmp_path / "all.xml"
    path.write_bytes(b"<annotation>" + b" " * 10_000_000 + b"</annotation>")
    with pytest.raises(BlockError, match=r"all\.xml cannot be read as Pascal VOC: it is larger than 10 MB"):
        read_voc(path, "all.xml")

"""The server refuses what is unsafe and finds what it is given; the home page says what there is."""

import socket

import pytest

from atomnb.errors import AtomnbError
from atomnb.widgets import server
from atomnb.widgets.catalogue import PAGES
from atomnb.widgets.home import ASSETS, home_html


def test_the_home_page_lists_every_page_with_a_picture():
    html = home_html(data_folder="/data/<here>")
    for page in PAGES:
        assert f'href="{page.url}"' in html
        assert page.path.exists()
        assert (ASSETS / page.picture).exists()
    assert "/data/&lt;here&gt;" in html
    assert "Start here" in html
    assert "http" not in html.replace("http-equiv", ""), "the home page must not name another host"


def test_others_need_a_token():
    with pytest.raises(AtomnbError, match="token"):
        server.serve(host="0.0.0.0", open_browser=False)


@pytest.mark.parametrize("options", [{"page": "nothing"}, {"file": "missing.dm3"}, {"data_dir": "/no/such/folder"}])
def test_mistakes_are_told_before_anything_starts(options):
    with pytest.raises(AtomnbError):
        server.serve(open_browser=False, **options)


def test_a_taken_port_gives_the_next_one_or_an_error():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AtomnbError, match="taken"):
            server._free_port("127.0.0.1", port)


def test_a_file_decides_the_data_folder(tmp_path):
    file = tmp_path / "inner" / "image one.npy"
    file.parent.mkdir()
    file.write_bytes(b"x")
    assert server._data_folder(file, None) == (file.parent, "image one.npy")
    assert server._data_folder(file, tmp_path) == (tmp_path, "inner/image one.npy")
    assert server._page_path("find_atoms", "inner/image one.npy") == "/apps/find_atoms?file=inner/image%20one.npy"
    with pytest.raises(AtomnbError, match="not in the data folder"):
        server._data_folder(__file__, tmp_path)

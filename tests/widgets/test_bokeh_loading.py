"""BokehJS comes to the browser alone, whatever else Python has imported."""

import bokeh.io.notebook

from atomnb.widgets.bokeh_loading import load_bokeh


def test_the_second_page_of_a_kernel_loads_no_scripts_of_panel(monkeypatch):
    import holoviews.plotting.bokeh  # noqa: F401  imports Panel, as the first page did

    published = []
    monkeypatch.setattr(bokeh.io.notebook, "publish_display_data", published.append)
    load_bokeh()
    (data,) = published
    assert len(data) == 2
    for script in data.values():
        assert "Bokeh" in script and len(script) > 500_000
        assert "static/extensions/panel" not in script
        assert "const js_urls = []" in script

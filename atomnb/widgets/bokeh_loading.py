"""Bring BokehJS to the browser, and nothing else: the plots of a page need it before they are shown."""

from __future__ import annotations


def load_bokeh() -> None:
    """Publish BokehJS as an output of the cell that runs.

    `bokeh.io.output_notebook` would add the scripts of every Bokeh extension that Python has imported. HoloViews
    imports Panel, whose scripts lie on no server of ours: the second page of a kernel would wait for them in vain.
    """
    from bokeh.core.templates import AUTOLOAD_NB_JS
    from bokeh.embed.bundle import Bundle
    from bokeh.io.notebook import JS_MIME_TYPE, LOAD_MIME_TYPE, publish_display_data
    from bokeh.resources import INLINE

    bundle = Bundle([], INLINE.js_raw, [], INLINE.css_raw, {})

    def script(*, register_mime: bool) -> str:
        return AUTOLOAD_NB_JS.render(
            bundle=bundle, elementid=None, force=True, timeout=5000, register_mime=register_mime
        )

    publish_display_data({JS_MIME_TYPE: script(register_mime=True), LOAD_MIME_TYPE: script(register_mime=False)})

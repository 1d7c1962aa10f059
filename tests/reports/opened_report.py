"""What an opened report.html shows."""

BASELINE = "uniform,batch_size=64"


def texts(opened, selector):
    return opened.locator(selector).all_text_contents()


def chart(name, number=0):
    return f"#section-{number} [data-chart={name}]"


def data_of(opened, name):
    """What plotly draws in each panel of a chart."""
    return opened.evaluate(
        """selector => Array.from(document.querySelectorAll(selector), plot =>
        plot.data.map(({ x, y, line, error_y }) => ({ x, y, colour: line.color, bars: error_y?.array })))""",
        f"{chart(name)} .plot",
    )

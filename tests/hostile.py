"""Texts that would run, load or change something where a page took them for more than text."""

SET = "window.ran = (window.ran || 0) + 1"
HOSTILE = [
    "<script>" + SET + "</script>",
    "</script><script>" + SET + "</script>",
    "<!--<script>" + SET,
    f'<img src=x onerror="{SET}">',
    f"<svg/onload='{SET}'>",
    f'"><iframe srcdoc="<script>parent.{SET}</script>">',
    f"javascript:{SET}",
    '<a href="https://example.com/">link</a><b>bold</b><br>%{x}<extra></extra>',
    "&lt;b&gt; &amp; &#x27; &quot;",
    "both \" and ' and ` and \\ and \\u003c/script> ${1}",
    "line\u2028separator\u2029and\nnew\tline\r\0end",
    "emoji 👩‍👩‍👧‍👦 🏳️‍🌈 é ẑ̵̢̛",
    "\u202eright to left\u202c עברית العربية",
    "a lone surrogate \ud800",
    "__proto__",
    "x" * 10_000,
    "👩" * 5_000,
    "",
]

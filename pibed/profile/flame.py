"""Flame graphs: a profile as an SVG that needs nothing else, with a zoom and a search in it.

A bar is a function in a chain of calls (B. Gregg, The Flame Graph, ACM Queue 14(2), 2016), here
with the callers above: as wide as its share of all, with what it called below it. It fits any
width: texts keep their size and are cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

from pibed.profile.tree import Node

Weight = Callable[[tuple[int, ...]], int]

_ROW, _HEAD, _LETTER = 17, 58, 12

# A bar of a smaller share of all is not drawn: it would have less than a tenth of a pixel.
_LEAST = 1e-4

_STYLE = """
svg{font:12px sans-serif}
.bar{cursor:pointer}
.bar:hover rect{stroke:#000;stroke-width:1}
.faint rect{opacity:.45}
.found rect{fill:#e0f!important}
.found text{fill:#fff}
#reset,#search{cursor:pointer;text-decoration:underline;fill:#06c}
"""

# Positions are thousandths of the whole, kept in data-x and data-w.
_SCRIPT = """
const bars=[...document.querySelectorAll('.bar')];
const said=document.getElementById('said'),text=said.textContent;
const X=b=>+b.dataset.x,W=b=>+b.dataset.w;
function zoom(to){
  const x=to?X(to):0,w=to?W(to):1e6,y=to?+to.getAttribute('y'):0;
  for(const b of bars){
    const over=X(b)<=x&&X(b)+W(b)>=x+w,above=over&&+b.getAttribute('y')<y;
    const inside=X(b)>=x&&X(b)+W(b)<=x+w;
    b.style.display=inside||above?'':'none';
    b.classList.toggle('faint',above);
    b.setAttribute('x',above?0:(X(b)-x)/w*100+'%');
    b.setAttribute('width',above?'100%':W(b)/w*100+'%');
  }
  document.getElementById('reset').style.display=to?'':'none';
}
function search(){
  const what=prompt('Functions whose name has:','');
  if(what===null)return;
  let found=0,last=-1;
  for(const b of bars){
    const hit=what&&b.querySelector('text').textContent.includes(what);
    b.classList.toggle('found',!!hit);
    if(hit&&X(b)>=last){found+=W(b);last=X(b)+W(b);}
  }
  said.textContent=what?what+': '+(found/1e4).toFixed(2)+' % of all':text;
}
for(const b of bars){
  b.addEventListener('click',()=>zoom(b));
  b.addEventListener('mouseover',()=>{said.textContent=b.querySelector('title').textContent;});
  b.addEventListener('mouseout',()=>{said.textContent=text;});
}
document.getElementById('reset').addEventListener('click',()=>zoom(null));
document.getElementById('search').addEventListener('click',search);
document.getElementById('search').style.display='';
"""


@dataclass(frozen=True)
class Painter:
    """What a flame graph shows of a node: by how wide a bar, in which colour, in which words."""

    weight: Weight
    """Of the node's events, its own and of what it called: not negative, and additive."""
    colour: Callable[[Node, tuple[int, ...]], str]
    words: Callable[[Node, tuple[int, ...]], str]
    """Behind the function's name, where the pointer is on it."""
    legend: Mapping[str, str]
    """What the colours mean."""


def draw(root: Node, title: str, subtitle: str, painter: Painter) -> str:
    """The SVG of a tree of calls; the same tree gives the same bytes."""
    totals = root.totals()
    whole = painter.weight(totals[id(root)])
    bars: list[str] = []
    depth = 0
    left: list[tuple[Node, int, int]] = [(root, 0, 0)]
    while left:
        node, level, begin = left.pop()
        total = totals[id(node)]
        weight = painter.weight(total)
        if not whole or weight < whole * _LEAST:
            continue
        depth = max(depth, level)
        bars.append(_bar(node, total, level, begin / whole, weight / whole, painter))
        begin += max(0, painter.weight(tuple(node.own)))
        for each in node.sorted_callees:
            left.append((each, level + 1, begin))
            begin += painter.weight(totals[id(each)])
    height = _HEAD + _ROW * (depth + 1) + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="100%" height="{height}" role="img">\n'
        f"<style>{_STYLE}</style>\n"
        f'<rect width="100%" height="100%" fill="#fff"/>\n'
        f'<text x="6" y="16" font-weight="bold">{escape(title)}</text>\n'
        f'<text id="said" x="6" y="33">{escape(subtitle)}</text>\n'
        f"{_legend(painter.legend)}"
        '<text id="search" x="99%" y="16" text-anchor="end" style="display:none">search</text>\n'
        '<text id="reset" x="99%" y="33" text-anchor="end" style="display:none">whole</text>\n'
        + "".join(bars)
        + f"<script><![CDATA[{_SCRIPT}]]></script>\n</svg>\n"
    )


def _bar(
    node: Node, total: tuple[int, ...], level: int, begin: float, share: float, painter: Painter
) -> str:
    name = escape(str(node.function))
    words = escape(painter.words(node, total))
    place = f'x="{begin * 100:.4f}%" y="{_HEAD + _ROW * level}" width="{share * 100:.4f}%"'
    data = f'data-x="{begin * 1e6:.0f}" data-w="{share * 1e6:.0f}"'
    fill = painter.colour(node, total)
    return (
        f'<svg class="bar" {place} height="{_ROW - 1}" {data}><title>{name}: {words}</title>'
        f'<rect width="100%" height="100%" fill="{fill}" stroke="#fff" stroke-width=".6"/>'
        f'<text x="3" y="{_LETTER}">{name}</text></svg>\n'
    )


def _legend(legend: Mapping[str, str]) -> str:
    parts: list[str] = []
    at = 6.0
    for words, colour in legend.items():
        parts.append(
            f'<rect x="{at:.0f}" y="41" width="11" height="11" fill="{colour}"/>'
            f'<text x="{at + 15:.0f}" y="51">{escape(words)}</text>\n'
        )
        at += 15 + 6.6 * len(words) + 14
    return "".join(parts)

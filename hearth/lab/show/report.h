// A result as a page to look at: one HTML file without a network, charts as SVG, or a terminal.
#pragma once
#include <map>
#include <string>

#include "hearth/lab/result/result.h"
#include "hearth/lab/show/text.h"

namespace hearth::lab {

/// One self-contained page, also well-formed XML; the same bytes for the same result.
std::string report_html(const Result& result);
/// The page's charts as files of their own: name.svg -> text.
std::map<std::string, std::string> report_svgs(const Result& result);
/// Bars of the times and sparklines of clocks and utilisation, `width` characters wide.
std::string report_text(const Result& result, int width = 78);

}  // namespace hearth::lab

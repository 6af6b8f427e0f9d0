//! Growth as a picture: memory and start time per service over the number of services, both axes in powers of ten.

use std::fmt::Write as _;

use crate::report::{Report, Row};

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 220.0;
/// Room for the numbers on the left and below, and for the title.
const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;
const COLOURS: [&str; 6] = ["#1b6ac9", "#6fb1f2", "#c0392b", "#e0912f", "#5d9b41", "#7d5ba6"];

/// One curve: a colour, and points of size and value.
type Curve = (&'static str, Vec<(f64, f64)>);

/// An SVG with two panels and one legend.
pub fn growth(report: &Report) -> String {
    let mut out = String::new();
    let (width, height) = (2.0 * (LEFT + WIDTH) + 40.0, TOP + HEIGHT + 90.0);
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    );
    panel(&mut out, LEFT, "supervisors' memory per service, kB (PSS)", &curves(report, Row::Memory, |_| 1.0));
    panel(
        &mut out,
        2.0 * LEFT + WIDTH + 20.0,
        "start of the tree per service, µs",
        &curves(report, Row::Up, |size| 1000.0 / size),
    );
    for (at, suite) in report.suites().iter().enumerate() {
        let x = LEFT + 130.0 * at as f64;
        let y = TOP + HEIGHT + 65.0;
        let colour = COLOURS[at % COLOURS.len()];
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"{}\" width=\"14\" height=\"4\" fill=\"{colour}\"/><text x=\"{}\" y=\"{y}\">{suite}</text>",
            y - 6.0,
            x + 20.0
        );
    }
    out.push_str("</svg>\n");
    out
}

fn curves(report: &Report, row: Row, scale: impl Fn(f64) -> f64) -> Vec<Curve> {
    let of = |suite: &String| {
        let sizes = report.sizes(row);
        sizes
            .into_iter()
            .filter_map(|size| Some((size as f64, report.median(row, suite, size)? * scale(size as f64))))
            .filter(|(_, value)| *value > 0.0)
            .collect()
    };
    report.suites().iter().enumerate().map(|(at, suite)| (COLOURS[at % COLOURS.len()], of(suite))).collect()
}

fn panel(out: &mut String, left: f64, title: &str, curves: &[Curve]) {
    let points = || curves.iter().flat_map(|(_, points)| points);
    let Some(across) = Axis::over(points().map(|point| point.0), WIDTH) else { return };
    let Some(up) = Axis::over(points().map(|point| point.1), HEIGHT) else { return };
    let bottom = TOP + HEIGHT;
    let _ = writeln!(out, "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{title}</text>", TOP - 15.0);
    for tick in up.ticks() {
        let y = bottom - up.at(tick);
        let _ = writeln!(
            out,
            "<path d=\"M{left} {y:.1}h{WIDTH}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>",
            left - 6.0,
            y + 4.0
        );
    }
    for tick in across.ticks() {
        let x = left + across.at(tick);
        let _ = writeln!(
            out,
            "<path d=\"M{x:.1} {TOP}v{HEIGHT}\" stroke=\"#ddd\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{tick}</text>",
            bottom + 18.0
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">services in the tree</text>",
        left + WIDTH / 2.0,
        bottom + 38.0
    );
    for (colour, points) in curves {
        let places: Vec<(f64, f64)> =
            points.iter().map(|(size, value)| (left + across.at(*size), bottom - up.at(*value))).collect();
        let line: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            line.join(" ")
        );
        for (x, y) in places {
            let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
    }
}

/// An axis in powers of ten, from one tick to another.
struct Axis {
    from: f64,
    to: f64,
    length: f64,
}

impl Axis {
    /// The axis on which all these values, which are positive, have a place; nothing without a value.
    fn over(values: impl Iterator<Item = f64>, length: f64) -> Option<Axis> {
        let (least, most) =
            values.fold((f64::INFINITY, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
        (most > 0.0).then(|| {
            let steps = Axis::steps();
            let from = steps.iter().copied().filter(|step| *step <= least).fold(0.01, f64::max);
            let to = steps.iter().copied().filter(|step| *step >= most && *step > from).fold(1e7, f64::min);
            Axis { from, to, length }
        })
    }

    /// 1, 2 and 5 of each power of ten.
    fn steps() -> Vec<f64> {
        (-2..7).flat_map(|power| [1.0, 2.0, 5.0].map(|first| first * 10.0_f64.powi(power))).collect()
    }

    fn ticks(&self) -> Vec<f64> {
        Axis::steps().into_iter().filter(|step| (self.from..=self.to).contains(step)).collect()
    }

    fn at(&self, value: f64) -> f64 {
        (value / self.from).ln() / (self.to / self.from).ln() * self.length
    }
}

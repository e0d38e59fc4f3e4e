//! The plot: three panels over the number of elections, in colours that are seen on light and on dark ground.

use std::fmt::Write as _;

use crate::results::{Results, Step};
use crate::table::thousands;

/// Of one panel, without its margins.
const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 180.0;
/// From one panel to the next.
const PITCH: f64 = 330.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 44.0;

const OURS: &str = "#2f81f7";
const CLIENT_GO: &str = "#d9730d";
const TEXT: &str = "#768390";

/// What is drawn over the number of elections.
struct Panel {
    title: &'static str,
    curves: Vec<Curve>,
}

struct Curve {
    label: &'static str,
    /// Where it is, from the last point: below the lower of two.
    label_below: f64,
    colour: &'static str,
    points: Vec<(f64, f64)>,
}

/// All of it, as a file.
pub(crate) fn svg(results: &Results) -> String {
    let panels = panels(results);
    let (width, height) = (LEFT + PITCH * 3.0 - 40.0, TOP + HEIGHT + 56.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"{TEXT}\">\n"
    );
    for (number, panel) in (0u8..).zip(&panels) {
        let left = LEFT + PITCH * f64::from(number);
        svg += &format!("<g transform=\"translate({left:.0} {TOP:.0})\">\n{}</g>\n", drawn(panel));
    }
    svg + "</svg>\n"
}

fn panels(results: &Results) -> [Panel; 3] {
    let over = |of: &dyn Fn(&Step) -> f64| -> Vec<(f64, f64)> {
        results.steps.iter().map(|step| (f64::from(step.elections), of(step))).collect()
    };
    let sidecars = &results.sidecars;
    let theirs = |step: &Step| f64::from(step.elections) * sidecars.client_go.per_second();
    let ours = |step: &Step| {
        f64::from(step.elections) * sidecars.leader_elector.per_second() + step.rest.requests_per_second()
    };
    let of_operator = |points| vec![Curve { label: "operator", label_below: -8.0, colour: OURS, points }];
    [
        Panel {
            title: "requests/s, three candidates each",
            curves: vec![
                Curve { label: "client-go's sidecars", label_below: -8.0, colour: CLIENT_GO, points: over(&theirs) },
                Curve { label: "agents and operator", label_below: 50.0, colour: OURS, points: over(&ours) },
            ],
        },
        Panel { title: "memory of the operator, MiB", curves: of_operator(over(&|step| step.rest.mebibytes())) },
        Panel {
            title: "CPU of the operator at rest, % of a core",
            curves: of_operator(over(&|step| step.rest.percent())),
        },
    ]
}

fn drawn(panel: &Panel) -> String {
    let points = || panel.curves.iter().flat_map(|curve| &curve.points);
    let (most_x, step_x) = scale(points().map(|point| point.0).fold(0.0, f64::max));
    let (most_y, step_y) = scale(points().map(|point| point.1).fold(0.0, f64::max));
    let (x, y) = (|value: f64| WIDTH * value / most_x, |value: f64| HEIGHT - HEIGHT * value / most_y);
    let mut svg = format!("<text y=\"-16\" font-weight=\"bold\">{}</text>\n", panel.title);
    for value in ticks(most_y, step_y) {
        let (y, label) = (y(value), number(value, step_y));
        let _ = writeln!(svg, "<path d=\"M0 {y:.1}H{WIDTH}\" stroke=\"{TEXT}\" stroke-opacity=\"0.3\"/>");
        let _ = writeln!(svg, "<text x=\"-8\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", y + 4.0);
    }
    for value in ticks(most_x, step_x) {
        let (x, y, label) = (x(value), HEIGHT + 18.0, number(value, step_x));
        let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{label}</text>");
    }
    let (middle, below) = (WIDTH / 2.0, HEIGHT + 38.0);
    let _ = writeln!(svg, "<text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">elections</text>");
    for Curve { label, label_below, colour, points } in &panel.curves {
        let placed: Vec<(f64, f64)> = points.iter().map(|point| (x(point.0), y(point.1))).collect();
        let line: Vec<String> = placed.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            line.join(" ")
        );
        for (x, y) in &placed {
            let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
        if let Some((x, y)) = placed.last() {
            let (x, y) = (x - 10.0, y + label_below);
            let _ =
                writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\" fill=\"{colour}\">{label}</text>");
        }
    }
    svg
}

/// Where an axis ends that shows values up to `most`, and how far its ticks are apart: 1, 2 or 5 of some power of ten.
fn scale(most: f64) -> (f64, f64) {
    let most = if most > 0.0 { most } else { 1.0 };
    let power = 10_f64.powf((most / 5.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|step| most / step <= 5.0);
    let step = step.unwrap_or(10.0 * power);
    (step * (most / step).ceil(), step)
}

fn ticks(most: f64, step: f64) -> impl Iterator<Item = f64> {
    (0u8..=10).map(move |number| f64::from(number) * step).take_while(move |value| *value <= most + step / 2.0)
}

/// With as many digits as `step` has.
fn number(value: f64, step: f64) -> String {
    if step < 1.0 {
        return format!("{value:.*}", if step < 0.1 { 2 } else { 1 });
    }
    format!("{value:.0}").parse().map_or_else(|_| String::new(), thousands)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::results;

    #[test]
    fn axes_end_at_a_tick_beyond_what_they_show() {
        assert_eq!(scale(2_000.0), (2_000.0, 500.0));
        assert_eq!(scale(2_243.0), (2_500.0, 500.0));
        assert_eq!(scale(101.0), (150.0, 50.0));
        assert_eq!(scale(0.0), (1.0, 0.2));
        assert_eq!(
            ticks(2.0, 0.5).map(|value| number(value, 0.5)).collect::<Vec<_>>(),
            ["0.0", "0.5", "1.0", "1.5", "2.0"]
        );
    }

    #[test]
    fn points_lie_where_their_numbers_say() {
        let svg = svg(&results());
        // 110 and 1,100 of 1,500 requests/s, at 100 and 1,000 of 1,000 elections.
        assert!(svg.contains("<polyline points=\"24.0,166.8 240.0,48.0\" fill=\"none\" stroke=\"#d9730d\""), "{svg}");
        assert_eq!(svg.matches("<polyline").count(), 4);
        assert_eq!(svg.matches("<circle").count(), 8);
        assert_eq!(svg.matches("<g ").count(), svg.matches("</g>").count());
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }
}

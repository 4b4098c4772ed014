//! Plots of cost, as SVG.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

/// One line of a plot.
#[derive(Clone, Debug)]
pub struct Series {
    /// What it is called.
    pub name: &'static str,
    /// Its points, by growing x.
    pub points: Vec<(f64, f64)>,
}

/// How the horizontal axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Evenly.
    Linear,
    /// By powers of ten.
    Logarithmic,
}

/// Writes a plot with a line for each series.
///
/// # Errors
///
/// The file cannot be written.
pub fn lines(file: &Path, title: &str, x: (&str, Axis), y: &str, series: &[Series]) -> Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let points = || series.iter().flat_map(|series| series.points.iter());
    let (left, right) = points().fold((f64::MAX, f64::MIN), |(low, high), (x, _)| {
        (low.min(*x), high.max(*x))
    });
    let top = points().fold(0.0_f64, |top, (_, y)| top.max(*y)) * 1.1;
    if points().next().is_none() {
        return Ok(());
    }
    let root = SVGBackend::new(file, (900, 560)).into_drawing_area();
    let drawn = (|| {
        root.fill(&WHITE)?;
        let mut builder = ChartBuilder::on(&root);
        builder
            .caption(title, ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(64);
        match x.1 {
            Axis::Linear => {
                let chart = builder.build_cartesian_2d(left..right, 0.0..top)?;
                draw(chart, x.0, y, series)?;
            }
            Axis::Logarithmic => {
                let chart = builder.build_cartesian_2d((left..right).log_scale(), 0.0..top)?;
                draw(chart, x.0, y, series)?;
            }
        }
        root.present()
    })();
    drawn.map_err(|error| anyhow!("{}: {error}", file.display()))
}

type Failure<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

fn draw<'a, X>(
    mut chart: ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, plotters::coord::types::RangedCoordf64>>,
    x: &str,
    y: &str,
    series: &[Series],
) -> Result<(), Failure<'a>>
where
    X: Ranged<ValueType = f64> + plotters::coord::ranged1d::ValueFormatter<f64>,
{
    chart.configure_mesh().x_desc(x).y_desc(y).draw()?;
    for (index, series) in series.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        chart
            .draw_series(LineSeries::new(series.points.iter().copied(), color.stroke_width(2)).point_size(3))?
            .label(series.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .position(SeriesLabelPosition::UpperLeft)
        .draw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_names_its_series() -> Result<()> {
        let file = std::env::temp_dir().join(format!("nsemail-plot-{}.svg", std::process::id()));
        let series = [Series {
            name: "ours",
            points: vec![(1e3, 40.0), (1e6, 300.0)],
        }];
        lines(&file, "Look-up", ("names", Axis::Logarithmic), "ns", &series)?;
        let svg = std::fs::read_to_string(&file)?;
        std::fs::remove_file(&file)?;
        assert!(svg.contains("ours") && svg.contains("polyline"));
        Ok(())
    }
}

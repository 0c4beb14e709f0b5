//! What is told: a table for people, every sample as JSON, and the page that is kept.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::json;

use crate::machine;
use crate::measure::{Bench, Sample};
use crate::rows::Row;

/// The results of a run, as they come.
pub(crate) struct Report<'r> {
    bench: &'r Bench<'r>,
    rows: Vec<(&'static Row, Vec<Vec<Sample>>)>,
}

impl<'r> Report<'r> {
    pub(crate) fn new(bench: &'r Bench<'r>) -> Self {
        Self { bench, rows: Vec::new() }
    }

    /// Takes the samples of a row, by program.
    pub(crate) fn add(&mut self, row: &'static Row, samples: Vec<Vec<Sample>>) {
        self.rows.push((row, samples));
    }

    /// The table: medians, and the ratio to the best peer.
    pub(crate) fn markdown(&self) -> String {
        let names: Vec<_> = self.bench.programs.iter().map(|program| program.name.as_str()).collect();
        let mut table = format!("| | unit | {} | to the better peer |\n", names.join(" | "));
        table += &format!("|---|---|{}---|\n", "---:|".repeat(names.len()));
        for (row, samples) in &self.rows {
            let cells: Vec<_> = samples.iter().map(|samples| cell(samples)).collect();
            let ratio = self.ratio(samples).map_or_else(String::new, |ratio| format!("× {ratio:.2}"));
            let _infallible = writeln!(
                table,
                "| {} | {} | {} | {ratio} |",
                row.title,
                row.measure.unit(),
                cells.join(" | ")
            );
        }
        table
    }

    /// The median over the rounds of our value to that of the peer with the better median.
    fn ratio(&self, samples: &[Vec<Sample>]) -> Option<f64> {
        let ours = samples.first()?;
        let peers = self.bench.programs.iter().zip(samples).filter(|(program, _)| !program.is_ours());
        let of = |samples: &[Sample]| median(samples.iter().map(|sample| sample.value));
        let (_, best) = peers
            .filter_map(|(_, samples)| Some((of(samples)?, samples)))
            .min_by(|(one, _), (other, _)| one.total_cmp(other))?;
        median(ours.iter().zip(best).map(|(ours, best)| ours.value / best.value))
    }

    fn json(&self) -> serde_json::Value {
        let names: Vec<_> = self.bench.programs.iter().map(|program| program.name.as_str()).collect();
        let rows = self.rows.iter().map(|(row, samples)| {
            let by_program: serde_json::Map<_, _> = names
                .iter()
                .zip(samples)
                .map(|(name, samples)| ((*name).to_owned(), json!(samples)))
                .collect();
            json!({
                "row": row.name,
                "title": row.title,
                "unit": row.measure.unit(),
                "samples": by_program,
                "ratio": self.ratio(samples),
            })
        });
        json!({ "machine": machine::description(), "rows": rows.collect::<Vec<_>>() })
    }

    /// Writes every sample.
    pub(crate) fn write_json(&self, path: &Path) -> anyhow::Result<()> {
        let text = format!("{:#}\n", self.json());
        fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Writes the page of the last complete run, with its samples beside it; gives its path.
    pub(crate) fn keep(&self) -> anyhow::Result<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
        self.write_json(&folder.join("results.json"))?;
        let page = folder.join("RESULTS.md");
        let options = self.bench.options;
        let text = format!(
            "# Results of the last complete run\n\n\
             `make bench` wrote this page; every sample stands in [results.json](results.json).\n\n\
             Machine: {}.\n\
             One worker each, access logs off where the row does not say otherwise, {} rounds of {} s, interleaved; medians.\n\
             The ratio is the median of the rounds' ratios to the peer with the better median; below 1 Tidegate needs less.\n\n{}",
            machine::description(),
            options.rounds,
            options.window().as_secs_f64(),
            self.markdown(),
        );
        fs::write(&page, text).with_context(|| format!("{} cannot be written", page.display()))?;
        Ok(page)
    }
}

fn cell(samples: &[Sample]) -> String {
    let value = median(samples.iter().map(|sample| sample.value));
    let rate = median(samples.iter().filter_map(|sample| sample.rate));
    match (value, rate) {
        (Some(value), Some(rate)) => format!("{value:.1} ({:.1} k/s)", rate / 1e3),
        (Some(value), None) => format!("{value:.1}"),
        (None, _) => "–".to_owned(),
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

//! Every link from one page of the repository to another leads somewhere: the file is there, and so is the heading.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// The pages: every Markdown file outside of what is built or installed.
fn pages(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "target" | "node_modules" | ".git") {
            pages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// The lines of a page that are not in a block of code.
fn text(page: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    page.lines().enumerate().filter_map(move |(number, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fence && !fenced).then_some((number + 1, line))
    })
}

/// The anchors that a page's headings get where it is shown.
fn anchors(page: &str) -> Vec<String> {
    let mut seen = HashMap::new();
    let headings = text(page).filter_map(|(_, line)| {
        let heading = line.trim_start_matches('#');
        (heading.len() < line.len()).then(|| heading.strip_prefix(' ')).flatten()
    });
    let slugs = headings.map(|heading| {
        let kept = heading.trim().chars().filter_map(|char| match char {
            ' ' => Some('-'),
            '-' | '_' => Some(char),
            _ => char.is_alphanumeric().then_some(char),
        });
        let slug = kept.flat_map(char::to_lowercase).collect::<String>();
        let count: &mut usize = seen.entry(slug.clone()).or_default();
        *count += 1;
        if *count == 1 { slug } else { format!("{slug}-{}", *count - 1) }
    });
    slugs.collect()
}

/// The targets of links and pictures in a line, without what stands in code.
fn targets(line: &str) -> Vec<&str> {
    let outside = line.split('`').step_by(2);
    let mut found = Vec::new();
    // The text of a link may be code, so its end is looked for in the whole line.
    for (at, _) in line.match_indices("](") {
        let in_code = line[..at].matches('`').count() % 2 == 1;
        let target = line[at + 2..].split(')').next().unwrap_or_default();
        if !in_code {
            found.push(target.split(' ').next().unwrap_or_default());
        }
    }
    for part in outside {
        let references = part.split("]: ").skip(1).filter(|_| part.starts_with('['));
        found.extend(references.filter_map(|rest| rest.split(' ').next()));
    }
    found
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
        plain
    })
}

#[test]
fn every_link_between_pages_leads_to_a_file_and_a_heading() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    pages(root, &mut found);
    let (mut wrong, mut count) = (Vec::new(), 0);
    for page in &found {
        let bytes = fs::read_to_string(page).unwrap();
        for (number, line) in text(&bytes) {
            for target in targets(line) {
                if target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                count += 1;
                let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
                let to = match file {
                    "" => page.clone(),
                    file => plain(&page.parent().unwrap().join(file)),
                };
                let place = format!("{}:{number}", page.strip_prefix(root).unwrap().display());
                if !to.exists() || !to.starts_with(root) {
                    wrong.push(format!("{place}: no file {file}"));
                } else if !anchor.is_empty()
                    && !anchors(&fs::read_to_string(&to).unwrap()).iter().any(|is| is == anchor)
                {
                    wrong.push(format!("{place}: no heading #{anchor} in {}", to.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "links that lead nowhere: {wrong:#?}");
    assert!(found.len() > 15 && count > 100, "{count} links in {} pages", found.len());
}

#[test]
fn a_link_in_code_is_none_and_a_heading_twice_gets_a_number() {
    assert_eq!(targets("see [a](b.md#c) and `[x](y)`, [`d`](e \"title\")"), ["b.md#c", "e"]);
    assert_eq!(targets("[name]: other.md"), ["other.md"]);
    let page = "# The `duramen` log: 2 things\n```\n# not one\n```\n## Again\n### Again\n";
    assert_eq!(anchors(page), ["the-duramen-log-2-things", "again", "again-1"]);
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The figures of documents that `cki-build bench micro` counts: which sentence gives which.
//!
//! Tests here hold that each sentence is there, and the suite `counts` of `tests/` that what it says is what was
//! counted, place by place.

/// What a figure of a sentence is, by the names of the report of `bench micro --json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Instructions of a call, gate to gate.
    Gate(&'static str),
    /// Instructions of an operation, natively.
    Native(&'static str),
    /// Instructions of an operation in a container.
    Container(&'static str),
    /// The second by the first.
    Ratio(&'static str),
    /// Millions of instructions of the first start of a container.
    Start,
    /// MiB of resident memory of the launcher.
    Launcher,
}

impl Of {
    /// Whether a document that says `given` says what was counted: a ratio within 0.02, everything else within 2 %.
    /// A change of some instructions is no reason to write a document anew.
    #[must_use]
    pub fn is_as_good_as(self, given: f64, counted: f64) -> bool {
        let allowed = match self {
            Self::Ratio(_) => 0.02,
            _ => 0.02 * counted,
        };
        (given - counted).abs() <= allowed + 1e-9
    }
}

/// A sentence, or a row, with figures that are counted.
#[derive(Debug)]
pub struct Sentence {
    /// Its document.
    pub document: &'static str,
    /// What stands there, with `{}` for each figure, and one blank wherever the document has blanks or a line's end.
    pub text: &'static str,
    /// What the figures are, in their order.
    pub of: &'static [Of],
}

use Of::{Container, Gate, Launcher, Native, Ratio, Start};

/// All of them.
pub const SENTENCES: &[Sentence] = &[
    Sentence {
        document: "README.md",
        text: "| **CKI** | Linux | PKS and the extension | {} | {} | {} |",
        of: &[
            Ratio("getpid"),
            Ratio("page_fault"),
            Ratio("fork_exit_wait"),
        ],
    },
    Sentence {
        document: "docs/understand/comparison.md",
        text: "| native, CKI's kernel | {} | {} | {} | {} | {} | {} | counted |",
        of: &[
            Native("getpid"),
            Native("page_fault"),
            Native("mmap_munmap"),
            Native("mprotect"),
            Native("fork_exit_wait"),
            Native("pipe_round_trip"),
        ],
    },
    Sentence {
        document: "docs/understand/comparison.md",
        text: "| **CKI** | {} ({}) | {} ({}) | {} ({}) | {} ({}) | {} ({}) | {} ({}) | counted |",
        of: &[
            Container("getpid"),
            Ratio("getpid"),
            Container("page_fault"),
            Ratio("page_fault"),
            Container("mmap_munmap"),
            Ratio("mmap_munmap"),
            Container("mprotect"),
            Ratio("mprotect"),
            Container("fork_exit_wait"),
            Ratio("fork_exit_wait"),
            Container("pipe_round_trip"),
            Ratio("pipe_round_trip"),
        ],
    },
    Sentence {
        document: "docs/understand/comparison.md",
        text: "The launcher takes {} MiB beside",
        of: &[Launcher],
    },
    Sentence {
        document: "docs/understand/page-fault.md",
        text: "`cki-build bench micro` prints ({} and {})",
        of: &[Container("page_fault"), Native("page_fault")],
    },
    Sentence {
        document: "docs/understand/page-fault.md",
        text: "| 5. write the page-table entry: the monitor | {} |",
        of: &[Gate("entry_set_user_page")],
    },
    Sentence {
        document: "docs/understand/page-fault.md",
        text: "the container's fault takes {} times as many instructions",
        of: &[Ratio("page_fault")],
    },
    Sentence {
        document: "docs/understand/world-switch.md",
        text: "to the module and back takes {} to {} instructions",
        of: &[Gate("hypercall_event_send"), Gate("hypercall_yield")],
    },
    Sentence {
        document: "docs/understand/ksm.md",
        text: "a KSM_ENTRY_SET takes {}, and a call of nothing {} (",
        of: &[Gate("entry_set_user_page"), Gate("call_version")],
    },
    Sentence {
        document: "docs/understand/ksm.md",
        text: "| KSM_EXEC_SEAL | many frames of which no byte could be WRPKRS's last | {} | {} |",
        of: &[
            Gate("longest_exec_seal_of_many"),
            Gate("longest_exec_seal_of_many_in_pieces"),
        ],
    },
    Sentence {
        document: "docs/understand/ksm.md",
        text: "| KSM_EXEC_SEAL | a frame of which every byte could be WRPKRS's last | {} | {} |",
        of: &[
            Gate("longest_exec_seal"),
            Gate("longest_exec_seal_in_pieces"),
        ],
    },
    Sentence {
        document: "docs/understand/ksm.md",
        text: "| KSM_TABLE_RELEASE | 128 links in the last entries | {} | {} |",
        of: &[
            Gate("longest_table_release"),
            Gate("longest_table_release_in_pieces"),
        ],
    },
    Sentence {
        document: "docs/understand/ksm.md",
        text: "| KSM_ENTRY_BATCH | 32 links that take the place of links | {} | {} |",
        of: &[
            Gate("longest_entry_batch"),
            Gate("longest_entry_batch_in_pieces"),
        ],
    },
    Sentence {
        document: "docs/understand/ksm.md",
        text: "| KSM_TEXT_POKE | 512 bytes, of which each could be WRPKRS's last | {} | {} |",
        of: &[
            Gate("longest_text_poke"),
            Gate("longest_text_poke_in_pieces"),
        ],
    },
    Sentence {
        document: "docs/understand/ksm.md",
        text: "| KSM_TABLE_DECLARE | a root | {} | {} |",
        of: &[
            Gate("longest_table_declare"),
            Gate("longest_table_declare_in_pieces"),
        ],
    },
    Sentence {
        document: "docs/understand/ksm.md",
        text: "and with text of both kinds, takes {}, a seal again",
        of: &[Gate("longest_operation")],
    },
    Sentence {
        document: "docs/reference/specification.md",
        text: "the longest is a KSM_EXEC_SEAL of {} (",
        of: &[Gate("longest_exec_seal_of_many")],
    },
    Sentence {
        document: "docs/reference/specification.md",
        text: "the longest is an OP_SEAL of {} |",
        of: &[Gate("longest_operation")],
    },
    Sentence {
        document: "docs/reference/bench.md",
        text: "A start takes {} million, more than the boot",
        of: &[Start],
    },
    Sentence {
        document: "docs/reference/bench.md",
        text: "a change of text takes {} instructions",
        of: &[Gate("text_poke_5_bytes")],
    },
];

impl Sentence {
    /// The figures that a document gives in this sentence; nothing if it does not have the sentence exactly once.
    #[must_use]
    pub fn read(&self, document: &str) -> Option<Vec<f64>> {
        let text = document.split_whitespace().collect::<Vec<_>>().join(" ");
        let (first, rest) = self.text.split_once("{}")?;
        let parts: Vec<_> = rest.split("{}").collect();
        let mut found = text.match_indices(first).filter_map(|(at, _)| {
            let mut text = &text[at + first.len()..];
            let mut figures = Vec::new();
            for part in &parts {
                let (figure, length) = figure(text)?;
                figures.push(figure);
                text = text[length..].strip_prefix(part)?;
            }
            Some(figures)
        });
        let figures = found.next()?;
        found.next().is_none().then_some(figures)
    }
}

/// The number that a text begins with, such as 17,449, 1.15 or 126 k, and its length.
fn figure(text: &str) -> Option<(f64, usize)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != ',' && c != '.');
    let digits = text[..end.unwrap_or(text.len())].trim_end_matches([',', '.']);
    let number: f64 = digits.replace(',', "").parse().ok()?;
    let rest = &text[digits.len()..];
    let of_unit = |unit: &str| {
        let rest = rest.strip_prefix(unit)?;
        (!rest.starts_with(char::is_alphanumeric)).then_some(digits.len() + unit.len())
    };
    Some(match (of_unit(" k"), of_unit(" M")) {
        (Some(length), _) => (number * 1e3, length),
        (_, Some(length)) => (number * 1e6, length),
        _ => (number, digits.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_where_they_stand() {
        let sentence = |text| Sentence {
            document: "",
            text,
            of: &[],
        };
        let text = "A call takes 1,107,\nand one of nothing 10. | 126 k | 2.9 M (19) | 3 kinds";
        let read = |words| sentence(words).read(text);
        assert_eq!(
            read("takes {}, and one of nothing {}."),
            Some(vec![1107.0, 10.0])
        );
        assert_eq!(
            read("| {} | {} ({}) | {} kinds"),
            Some(vec![126_000.0, 2_900_000.0, 19.0, 3.0])
        );
        for missing in ["takes {} and", "gives {}", "| {} (20)"] {
            assert_eq!(read(missing), None, "{missing}");
        }
        // Who says it twice may say two things.
        assert_eq!(sentence("of {}").read("of 1 and of 2"), None);
    }

    #[test]
    fn a_figure_may_be_off_by_a_little() {
        for (of, given, counted, good) in [
            (Gate(""), 100.0, 102.0, true),
            (Gate(""), 100.0, 98.0, false),
            (Native(""), 126_000.0, 125_623.0, true),
            (Ratio(""), 1.14, 1.125, true),
            (Ratio(""), 1.14, 1.165, false),
            (Ratio(""), 1.67, 1.70, false),
            (Start, 109.0, 112.7, false),
        ] {
            assert_eq!(of.is_as_good_as(given, counted), good, "{given} {counted}");
        }
    }
}

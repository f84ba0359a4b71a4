// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build demo`

use std::io::{self, Write as _};

use cki_session::{Container, Isolation, Outcome, Status};

use super::compare::compare;
use super::run;
use crate::cli::{Demo, HostKernel, RunArgs, Runtime};
use crate::contents::{Contents, Packages};
use crate::context::Context;
use crate::ending::Ending;
use crate::error::Error;
use crate::network::NetworkArgs;
use crate::output::print;
use crate::resident;
use cki_frontend::ProgramOptions;
use cki_machine::Ended;

/// What runs in the container; `sqlite3` reads [`work`].
const SCRIPT: &str = "uname -a && exec sqlite3 -batch -bail /tmp/demo.db";

pub(super) fn demo(context: &Context, args: &Demo) -> Result<Status, Error> {
    if let Some(workload) = args.compared.workload {
        return compare(context, workload, args.compared.size);
    }
    let program = RunArgs {
        runtime: Runtime::Cki,
        host_kernel: HostKernel::Cki,
        machine: Some(resident::OWN.to_owned()),
        name: None,
        contents: Contents {
            packages: Packages::pinned(&["sqlite3"]),
            ..Contents::default()
        },
        memory: Container::DEFAULT_MEMORY,
        cpus: 1,
        timeout: None,
        program: ProgramOptions::default(),
        network: NetworkArgs::none(),
        disk: Vec::new(),
        command: ["sh", "-c", SCRIPT].map(Into::into).into(),
    };
    let sql = io::Cursor::new(work(args.rows));
    let ended = run::execute(context, &program, Some(Box::new(sql)))?;
    let concluded = conclude(&ended);
    if context.global.json && concluded.is_ok() {
        Ending::of(&ended).write();
    }
    concluded
}

/// The last line, and the status: 0 only if all of it happened in a container that was isolated.
fn conclude(ended: &Ended) -> Result<Status, Error> {
    match (&ended.outcome, ended.isolation) {
        (Outcome::Exited(0), Some(isolation @ Isolation::Full)) => {
            print(&format!("isolation: {isolation}"))?;
            Ok(Status::OK)
        }
        (Outcome::Exited(0), isolation) => Err(Error::Demo(format!(
            "the program was not isolated: {}",
            isolation.map_or("it was never started".to_owned(), |how| how.to_string())
        ))),
        (outcome, _) => {
            // A program of the container's that failed has said why.
            let _ = writeln!(io::stderr(), "cki-build: the demonstration ended early");
            Ok(match outcome.status() {
                Status::OK => Status::FAILED,
                status => status,
            })
        }
    }
}

/// SQL over a table of `rows` orders: an index, joins, aggregates, changes in a transaction, and at the
/// end SQLite's own check. The numbers are made by arithmetic, so the results are always the same.
fn work(rows: u32) -> String {
    format!(
        "\
.bail on
.mode list
.separator ' | '
CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT NOT NULL, region INTEGER NOT NULL);
CREATE TABLE purchase(id INTEGER PRIMARY KEY, customer INTEGER NOT NULL, cents INTEGER NOT NULL, note TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
  INSERT INTO customer SELECT i, printf('customer-%04d', i), i % 7 FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
  INSERT INTO purchase SELECT i, 1 + i * 7919 % 1000, i * 104729 % 100000, printf('%08x', i * 2654435761 % 4294967296) \
  FROM n;
COMMIT;
CREATE INDEX purchase_customer ON purchase(customer, cents);
SELECT 'rows', count(*), 'cents', sum(cents) FROM purchase;
SELECT 'region ' || region, count(*), sum(cents), max(cents)
  FROM purchase JOIN customer ON customer.id = purchase.customer GROUP BY region ORDER BY region;
SELECT name, count(*), sum(cents)
  FROM customer JOIN purchase ON purchase.customer = customer.id GROUP BY customer.id ORDER BY 3 DESC, 1 LIMIT 5;
BEGIN;
UPDATE purchase SET cents = cents + 1 WHERE customer % 10 = 3;
DELETE FROM purchase WHERE customer % 10 = 4;
COMMIT;
SELECT 'rows', count(*), 'cents', sum(cents) FROM purchase;
SELECT 'integrity_check: ' || integrity_check FROM pragma_integrity_check;
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_without_isolation_is_none() {
        let full = Ended::at_once(Outcome::Exited(0), Some(Isolation::Full));
        assert_eq!(conclude(&full).expect("isolated"), Status::OK);
        for isolation in [None, Some(Isolation::None)] {
            assert!(conclude(&Ended::at_once(Outcome::Exited(0), isolation)).is_err());
        }
    }

    #[test]
    fn a_failure_of_the_program_is_one_of_the_demonstration() {
        let failed = Ended::at_once(Outcome::Exited(1), Some(Isolation::Full));
        assert_eq!(conclude(&failed).expect("a status"), Status(1));
    }

    #[test]
    fn the_work_has_as_many_rows_as_were_asked_for() {
        assert!(work(100_000).contains("WHERE i < 100000)"));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The files by which hosts of git repositories run our CI: what they use, and what their steps run.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_yaml_ng::Value;

/// A workflow of `.github/workflows`.
#[derive(Debug, Deserialize)]
pub struct Workflow {
    /// What its token may do.
    pub permissions: Value,
    jobs: BTreeMap<String, Job>,
}

/// One job of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Job {
    /// The system that it runs on.
    pub runs_on: String,
    /// After how long it is ended.
    pub timeout_minutes: Option<u32>,
    /// What its own token may do, where that is not what the workflow's may.
    pub permissions: Option<Value>,
    /// In what it runs.
    pub container: Option<Container>,
    /// On which condition it runs.
    #[serde(rename = "if")]
    pub condition: Option<String>,
    steps: Vec<Step>,
}

/// The container that a job's steps run in.
#[derive(Debug, Deserialize)]
pub struct Container {
    /// Words for the engine that starts it.
    pub options: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Step {
    uses: Option<String>,
    run: Option<String>,
}

impl Job {
    /// The lines of shell that its steps run.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        let scripts = self.steps.iter().filter_map(|step| step.run.as_deref());
        scripts.flat_map(str::lines)
    }
}

impl Workflow {
    /// Reads one.
    ///
    /// # Errors
    /// When it is no YAML, or lacks what every workflow of ours has.
    pub fn parse(text: &str) -> Result<Workflow, serde_yaml_ng::Error> {
        serde_yaml_ng::from_str(text)
    }

    /// Its jobs by name.
    pub fn jobs(&self) -> impl Iterator<Item = (&str, &Job)> {
        self.jobs.iter().map(|(name, job)| (&**name, job))
    }

    /// The actions that its steps use, as `owner/name@revision`.
    pub fn actions(&self) -> impl Iterator<Item = &str> {
        self.steps().filter_map(|step| step.uses.as_deref())
    }

    /// The lines of shell that its steps run.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.jobs.values().flat_map(Job::lines)
    }

    fn steps(&self) -> impl Iterator<Item = &Step> {
        self.jobs.values().flat_map(|job| &job.steps)
    }
}

/// The lines of shell of each job of a `.gitlab-ci.yml`.
///
/// # Errors
/// When it is no YAML.
pub fn gitlab_jobs(text: &str) -> Result<BTreeMap<String, Vec<String>>, serde_yaml_ng::Error> {
    #[derive(Deserialize)]
    struct Script {
        #[serde(default)]
        script: Vec<String>,
    }
    let file: BTreeMap<String, Value> = serde_yaml_ng::from_str(text)?;
    file.into_iter()
        // The list of stages is no job, and neither is what all of them have.
        .filter(|(name, _)| name != "stages" && name != "default")
        .map(|(name, value)| Ok((name, serde_yaml_ng::from_value::<Script>(value)?.script)))
        .collect()
}

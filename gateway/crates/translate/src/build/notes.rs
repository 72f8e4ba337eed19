use std::mem;

use manifest::{Object, Severity, kind::Kind};

use crate::{
    report::{Report, ended},
    status::{PolicyReason, Reason},
};

/// What is to be said of a policy in its conditions: sentences.
#[derive(Debug, Default)]
pub(crate) struct Remarks {
    /// Not empty: every listener that it governs answers 500.
    pub(crate) errors: Vec<String>,
    /// Not empty: every TLS listener that it governs answers 500.
    pub(crate) tls_errors: Vec<String>,
    /// Served, but not all that was asked for.
    pub(crate) warnings: Vec<String>,
    pub(crate) deprecated: Vec<String>,
}

impl Remarks {
    /// Of a policy that was refused and never was good.
    pub(crate) fn never_good(why: &str) -> Self {
        Self { errors: vec![ended(format!("Never was good: {why}"))], ..Self::default() }
    }

    /// True: a listener that the policy governs answers every request with 500.
    pub(crate) fn break_listener(&self, is_tls: bool) -> bool {
        !self.errors.is_empty() || (is_tls && !self.tls_errors.is_empty())
    }
}

/// What is noted while a policy is read, in its conditions and, with the place, among the diagnostics.
pub(super) struct Notes<'r, 'a, P> {
    policy: &'a Object<P>,
    report: &'r mut Report,
    remarks: Remarks,
}

impl<'r, 'a, P: Kind> Notes<'r, 'a, P> {
    pub(super) fn new(policy: &'a Object<P>, report: &'r mut Report) -> Self {
        Self { policy, report, remarks: Remarks::default() }
    }

    pub(super) fn error(&mut self, path: &str, message: String) {
        self.report.add(Severity::Error, self.policy, path, PolicyReason::Invalid.text(), message.clone());
        self.remarks.errors.push(ended(format!("{path}: {message}")));
    }

    pub(super) fn warning(&mut self, path: &str, message: String) {
        self.report.add(Severity::Warning, self.policy, path, PolicyReason::Warnings.text(), message.clone());
        self.remarks.warnings.push(ended(format!("{path}: {message}")));
    }

    pub(super) fn deprecated(&mut self, path: &str, instead: &str) {
        let message = format!("is deprecated, use {instead}");
        let reason = PolicyReason::DeprecatedField.text();
        self.report.add(Severity::Warning, self.policy, path, reason, message.clone());
        self.remarks.deprecated.push(format!("{path} {message}."));
    }

    /// What was noted before; what comes now is about TLS alone.
    pub(super) fn errors_so_far(&mut self) -> Vec<String> {
        mem::take(&mut self.remarks.errors)
    }

    pub(super) fn remarks(self) -> Remarks {
        self.remarks
    }
}

//! The kinds of destination this binary knows. The only file of the bridge that names a CRM.

use leadwire_connector::ConnectorKind;

/// The connectors that come with Leadwire, as far as this build has them.
#[must_use]
pub fn builtin() -> Connectors {
    Connectors {
        kinds: vec![
            #[cfg(feature = "hubspot")]
            leadwire_connector_hubspot::KIND,
            #[cfg(feature = "gohighlevel")]
            leadwire_connector_gohighlevel::KIND,
            #[cfg(feature = "json")]
            leadwire_connector_json::KIND,
            #[cfg(feature = "csv")]
            leadwire_connector_csv::KIND,
            #[cfg(feature = "process")]
            leadwire_connector_process::KIND,
        ],
    }
}

/// A set of connectors, looked up by the `type` of a destination.
#[derive(Debug, Clone, Default)]
pub struct Connectors {
    kinds: Vec<ConnectorKind>,
}

impl Connectors {
    /// Adds a connector, or replaces the one of the same name.
    #[must_use]
    pub fn with(mut self, kind: ConnectorKind) -> Self {
        self.kinds.retain(|known| known.name != kind.name);
        self.kinds.push(kind);
        self
    }

    /// The connector for a destination of this `type`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ConnectorKind> {
        self.kinds.iter().find(|kind| kind.name == name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &ConnectorKind> {
        self.kinds.iter()
    }

    /// Their names, for messages.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.kinds.iter().map(|kind| kind.name).collect()
    }
}

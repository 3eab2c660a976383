<?php
session_start();
$_SESSION['visits'] = ($_SESSION['visits'] ?? 0) + 1;
if (isset($_GET['database'])) {
    // an extension that no other request uses
    $database = new PDO('sqlite::memory:');
    echo $database->query('select sqlite_version()')->fetchColumn(), "\n";
} else {
    echo "Hello from PHP " . PHP_MAJOR_VERSION . "\n";
}

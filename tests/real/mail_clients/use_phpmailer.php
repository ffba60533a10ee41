<?php
/* Sends a message with an attachment by PHPMailer, which chooses the mechanism where it is ''. */
require 'libphp-phpmailer/autoload.php';

[$_, $port, $security, $mechanism, $login, $password, $subject, $attachment] = $argv;

$mail = new PHPMailer\PHPMailer\PHPMailer();
$mail->isSMTP();
$mail->Host = 'localhost';
$mail->Port = $port;
$mail->SMTPSecure = $security == 'tls' ? 'ssl' : 'tls';
$mail->SMTPOptions = ['ssl' => ['cafile' => getenv('SSL_CERT_FILE')]];
$mail->SMTPAuth = true;
$mail->AuthType = $mechanism;
$mail->Username = $login;
$mail->Password = $password;
$mail->CharSet = 'UTF-8';
$mail->setFrom($login);
$mail->addAddress($login);
$mail->Subject = $subject;
$mail->Body = "ü\n.\n..\n";
$mail->addAttachment($attachment);
if (!$mail->send()) {
    fwrite(STDERR, $mail->ErrorInfo . "\n");
    exit(1);
}
